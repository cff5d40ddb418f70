// The calls that TWC's own SDK for JavaScript makes, by axios.
import axios from "axios";

const { address, headers, prefixes, values } = JSON.parse(process.argv[2]);
const http = axios.create({ baseURL: `http://${address}`, headers });
const stranger = axios.create({ baseURL: `http://${address}` });

const part = encodeURIComponent;
const api = "/api/v2";

// Routes of the API document.
const CALLS = {
  create: (customer) => http.post(`${api}/customers`, customer),
  upload: (customers) => http.post(`${api}/upload-customers`, customers),
  validate: (customer) => http.post(`${api}/customers/validate`, customer),
  update: (customer) => http.put(`${api}/customers`, customer),
  addAddress: (id, it) => http.post(`${api}/customers/${part(id)}/address`, it),
  get: (id) => http.get(`${api}/customers/${part(id)}`),
  getByRef: (ref) => http.get(`${api}/customers/${part(ref)}/ref`),
  search: (params) => http.get(`${api}/customers/search`, { params }),
  delete: (id) => http.delete(`${api}/customers/${part(id)}`),
  deleteByRef: (ref) => http.delete(`${api}/customers/${part(ref)}/ref`),
};

// Routes that the SDK alone has, below each of `prefixes`.
const SDK_CALLS = {
  updateById: (root, { id }, change) => http.put(`${root}/customers/id=${part(id)}`, change),
  updateByRef: (root, { customerRef }, change) =>
    http.put(`${root}/customers/customerRef=${part(customerRef)}`, change),
  updateByEmail: (root, { email }, change) =>
    http.put(`${root}/customers/email=${part(email)}`, change),
  getByEmail: (root, { email }) => http.get(`${root}/customers/${part(email)}/email`),
  deleteAddress: (root, { id, addresses }) =>
    http.delete(`${root}/customers/${part(id)}/address/${part(addresses[0].id)}`),
  deleteById: (root, { id }) => http.delete(`${root}/customers`, { params: { id } }),
  deleteByRef: (root, { customerRef }) =>
    http.delete(`${root}/customers`, { params: { customerRef } }),
};

const statuses = {};

async function call(name, ...args) {
  const { status, data } = await CALLS[name](...args);
  statuses[name] = status;
  return data;
}

function shown(customer) {
  const group = customer.attributeGroups[values.group];
  return {
    ref: customer.customerRef,
    email: customer.email,
    firstName: customer.firstName,
    lastName: customer.lastName,
    mobile: customer.mobile,
    state: customer.customer_state,
    city: customer.defaultAddress.city,
    country: customer.addresses[0].countryCode,
    attribute: group.attributes[values.attribute].attribute_value,
  };
}

function described({ response }) {
  const { code, details } = response.data;
  const detail = (name) => details.find((it) => it["@type"].endsWith(`/google.rpc.${name}`));
  const { reason, metadata = {} } = detail("ErrorInfo");
  const violations = detail("BadRequest")?.fieldViolations ?? [];
  return { code, reason, metadata, fields: violations.map(({ field }) => field) };
}

const failure = (promise) => promise.then(() => null, described);

// What a customer of its own is after each call of the SDK, and the status of each.
async function sdkOutcomes(root, number) {
  const outcomes = {};
  for (const [name, sdkCall] of Object.entries(SDK_CALLS)) {
    const { data: customer } = await CALLS.create({
      customerRef: `${values.ref} ${number}`,
      email: `sdk+${number}@example.com`,
      addresses: [{ city: values.city }],
    });
    const { status } = await sdkCall(root, customer, { firstName: values.newName });
    const { data: stored } = await CALLS.get(customer.id);
    outcomes[name] = [status, stored.firstName ?? null, stored.addresses?.length ?? null];
    await CALLS.delete(customer.id);
  }
  return outcomes;
}

const customer = {
  customerRef: values.ref,
  email: values.email,
  firstName: values.firstName,
  lastName: values.lastName,
  mobile: values.mobile,
  customer_state: "invited",
  addresses: [{ city: values.city, countryCode: values.country }],
  attributeGroups: {
    [values.group]: {
      attributes: { [values.attribute]: { attribute_value: "42", value_type: "INTEGER" } },
    },
  },
};

const valid = await call("validate", customer);
const created = await call("create", customer);
const { id } = created;
const errors = {
  clash: await failure(CALLS.create({ email: values.email })),
  invalid: await failure(CALLS.create({ email: "ada", addresses: [{ countryCode: "XX" }] })),
  missing: await failure(CALLS.getByRef("none")),
  anonymous: await failure(stranger.get(`${api}/customers/${id}`)),
};
const read = await call("get", id);
const byRef = await call("getByRef", values.ref);
const found = await call("search", { email: values.email });
const updated = await call("update", { id, lastName: values.newName, customer_state: "enabled" });
const { addresses } = await call("addAddress", id, { city: values.city });
await call("delete", id);
const { status: statusAfterwards, data: afterwards } = await CALLS.get(id);
const uploaded = await call("upload", values.upload.map((email) => ({ email })));
await call("create", { customerRef: values.ref, email: values.email });
await call("deleteByRef", values.ref);

console.log(
  JSON.stringify({
    id,
    valid: shown(valid),
    created: shown(created),
    read: shown(read),
    byRef: shown(byRef),
    found: found.map(shown),
    updated: shown(updated),
    addresses: addresses.map(({ city }) => city),
    afterwards: afterwards || null,
    errors,
    uploaded: uploaded.map((result) => result.customer?.email ?? result.error.code),
    statuses: { ...statuses, getAfterwards: statusAfterwards },
    sdk: await Promise.all(prefixes.map((it, number) => sdkOutcomes(`${it}${api}`, number))),
  }),
);
