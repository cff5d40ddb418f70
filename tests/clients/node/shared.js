// What the programs of gRPC have in common: a customer as they create and print it, and calls that fail.

export const customerOf = (values, customerState, valueType) => ({
  customerRef: values.ref,
  email: values.email,
  firstName: values.firstName,
  lastName: values.lastName,
  mobile: values.mobile,
  customerState,
  addresses: [{ city: values.city, countryCode: values.country }],
  attributeGroups: {
    [values.group]: {
      attributes: { [values.attribute]: { attributeValue: "42", valueType } },
    },
  },
});

// Returns what prints a customer; `nameOf` is the name of a state.
export const printer = (values, nameOf) => (customer) => ({
  ref: customer.customerRef,
  email: customer.email,
  firstName: customer.firstName,
  lastName: customer.lastName,
  mobile: customer.mobile,
  state: nameOf(customer.customerState),
  city: customer.defaultAddress.city,
  country: customer.addresses[0].countryCode,
  attribute: customer.attributeGroups[values.group].attributes[values.attribute].attributeValue,
});

export const described = (code, { reason, metadata = {} }, violations = []) => ({
  code,
  reason,
  metadata,
  fields: violations.map(({ field }) => field),
});

// Makes calls that fail, by a function of RPC, request and, if they are other ones, headers.
export const failures = async (failure, { id, email }, noHeaders) => ({
  clash: await failure("createCustomer", { customer: { email } }),
  invalid: await failure("createCustomer", {
    customer: { email: "ada", addresses: [{ countryCode: "XX" }] },
  }),
  missing: await failure("getCustomerByRef", { customerRef: "none" }),
  anonymous: await failure("getCustomer", { id }, noHeaders),
});
