// The calls of every client, by @grpc/grpc-js with @grpc/proto-loader, which needs no generated code.
import { promisify } from "node:util";
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const { address, headers, protos, values } = JSON.parse(process.argv[2]);

const contract = loadSync(
  ["twc/customer/v2/customer_service.proto", "google/rpc/error_details.proto"],
  { includeDirs: protos, enums: String, longs: String, defaults: false },
);
const { CustomerService } = grpc.loadPackageDefinition(contract).twc.customer.v2;
const client = new CustomerService(address, grpc.credentials.createInsecure());
const caller = grpc.Metadata.fromHttp2Headers(headers);

const call = (rpc, request, metadata = caller) =>
  promisify(client[rpc].bind(client))(request, metadata);

function shown(customer) {
  const group = customer.attributeGroups[values.group];
  return {
    ref: customer.customerRef,
    email: customer.email,
    firstName: customer.firstName,
    lastName: customer.lastName,
    mobile: customer.mobile,
    state: customer.customerState,
    city: customer.defaultAddress.city,
    country: customer.addresses[0].countryCode,
    attribute: group.attributes[values.attribute].attributeValue,
  };
}

function unpack(details, name) {
  const found = details.find((detail) => detail.type_url.endsWith(`/${name}`));
  return found && contract[name].deserialize(found.value);
}

function described(error) {
  const [packed] = error.metadata.get("grpc-status-details-bin");
  const { details } = contract["google.rpc.Status"].deserialize(packed);
  const { reason, metadata = {} } = unpack(details, "google.rpc.ErrorInfo");
  const violations = unpack(details, "google.rpc.BadRequest")?.fieldViolations ?? [];
  return { code: error.code, reason, metadata, fields: violations.map(({ field }) => field) };
}

const failure = (rpc, request, metadata) =>
  call(rpc, request, metadata).then(() => null, described);

const customer = {
  customerRef: values.ref,
  email: values.email,
  firstName: values.firstName,
  lastName: values.lastName,
  mobile: values.mobile,
  customerState: "invited",
  addresses: [{ city: values.city, countryCode: values.country }],
  attributeGroups: {
    [values.group]: {
      attributes: { [values.attribute]: { attributeValue: "42", valueType: "INTEGER" } },
    },
  },
};

async function uploaded() {
  const stream = client.UploadCustomers(caller);
  for (const email of values.upload) stream.write({ customer: { email } });
  stream.end();
  const results = [];
  for await (const result of stream) results.push(result.customer?.email ?? result.error.code);
  return results;
}

const created = await call("CreateCustomer", { customer });
const { id } = created;
const errors = {
  clash: await failure("CreateCustomer", { customer: { email: values.email } }),
  invalid: await failure("CreateCustomer", {
    customer: { email: "ada", addresses: [{ countryCode: "XX" }] },
  }),
  missing: await failure("GetCustomerByRef", { customerRef: "none" }),
  anonymous: await failure("GetCustomer", { id }, new grpc.Metadata()),
};
const read = await call("GetCustomer", { id });
const byRef = await call("GetCustomerByRef", { customerRef: values.ref });
const found = await client.LookupCustomers({ email: values.email }, caller).toArray();
const updated = await call("UpdateCustomer", {
  customer: { id, lastName: values.newName, customerState: "enabled" },
});
await call("DeleteCustomer", { id });
const afterwards = await call("GetCustomer", { id });

console.log(
  JSON.stringify({
    id,
    created: shown(created),
    read: shown(read),
    byRef: shown(byRef),
    found: found.map(shown),
    updated: shown(updated),
    afterwards: afterwards.id ?? null,
    errors,
    uploaded: await uploaded(),
  }),
);
client.close();
