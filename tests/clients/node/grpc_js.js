// The calls of every client, by @grpc/grpc-js with @grpc/proto-loader, which needs no generated code.
import { promisify } from "node:util";
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const { address, headers, protos, shared, values } = JSON.parse(process.argv[2]);
const { customerOf, described, failures, printer } = await import(shared);
const shown = printer(values, (name) => name);

const contract = loadSync(
  ["twc/customer/v2/customer_service.proto", "google/rpc/error_details.proto"],
  { includeDirs: protos, enums: String, longs: String, defaults: false },
);
const { CustomerService } = grpc.loadPackageDefinition(contract).twc.customer.v2;
const client = new CustomerService(address, grpc.credentials.createInsecure());
const caller = grpc.Metadata.fromHttp2Headers(headers);

const call = (rpc, request, metadata = caller) =>
  promisify(client[rpc].bind(client))(request, metadata);

function unpack(details, name) {
  const found = details.find((detail) => detail.type_url.endsWith(`/${name}`));
  return found && contract[name].deserialize(found.value);
}

function readError(error) {
  const [packed] = error.metadata.get("grpc-status-details-bin");
  const { details } = contract["google.rpc.Status"].deserialize(packed);
  const violations = unpack(details, "google.rpc.BadRequest")?.fieldViolations;
  return described(error.code, unpack(details, "google.rpc.ErrorInfo"), violations);
}

const failure = (rpc, request, metadata) =>
  call(rpc, request, metadata).then(() => null, readError);

async function uploaded() {
  const stream = client.UploadCustomers(caller);
  for (const email of values.upload) stream.write({ customer: { email } });
  stream.end();
  const results = [];
  for await (const result of stream) results.push(result.customer?.email ?? result.error.code);
  return results;
}

const created = await call("createCustomer", {
  customer: customerOf(values, "invited", "INTEGER"),
});
const { id } = created;
const errors = await failures(failure, created, new grpc.Metadata());
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
