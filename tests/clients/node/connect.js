// The calls of every client, by connect: over gRPC and gRPC-Web, as in Node.js and as in a browser.
import { ConnectError, createClient } from "@connectrpc/connect";
import * as forNode from "@connectrpc/connect-node";
import * as forWeb from "@connectrpc/connect-web";
import { BadRequestSchema, ErrorInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import { Attribute_ValueType, Customer_State } from "./gen/twc/customer/v2/customer_pb.js";
import { CustomerService } from "./gen/twc/customer/v2/customer_service_pb.js";

const { address, headers, shared, transport, values } = JSON.parse(process.argv[2]);
const { customerOf, described, failures, printer } = await import(shared);
const shown = printer(values, (state) => Customer_State[state]);
const sent = new Set();

async function recordingFetch(url, options) {
  for (const name of new Headers(options.headers).keys()) sent.add(name);
  return fetch(url, options);
}

const baseUrl = `http://${address}`;
const TRANSPORTS = {
  "node-grpc": () => forNode.createGrpcTransport({ baseUrl }),
  "node-grpc-web": () => forNode.createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }),
  "web-grpc-web": () => forWeb.createGrpcWebTransport({ baseUrl, fetch: recordingFetch }),
};
const client = createClient(CustomerService, TRANSPORTS[transport]());

async function failure(rpc, request, callHeaders = headers) {
  try {
    await client[rpc](request, { headers: callHeaders });
  } catch (raised) {
    const error = ConnectError.from(raised);
    const [info] = error.findDetails(ErrorInfoSchema);
    const violations = error.findDetails(BadRequestSchema).flatMap((it) => it.fieldViolations);
    return described(error.code, info, violations);
  }
}

async function uploaded() {
  async function* items() {
    for (const email of values.upload) yield { customer: { email } };
  }
  const results = [];
  for await (const { outcome } of client.uploadCustomers(items(), { headers })) {
    results.push(outcome.case === "customer" ? outcome.value.email : outcome.value.code);
  }
  return results;
}

const created = await client.createCustomer(
  { customer: customerOf(values, Customer_State.invited, Attribute_ValueType.INTEGER) },
  { headers },
);
const { id } = created;
const errors = await failures(failure, created, {});
const read = await client.getCustomer({ id }, { headers });
const byRef = await client.getCustomerByRef({ customerRef: values.ref }, { headers });
const found = [];
for await (const customer of client.lookupCustomers({ email: values.email }, { headers })) {
  found.push(customer);
}
const updated = await client.updateCustomer(
  { customer: { id, lastName: values.newName, customerState: Customer_State.enabled } },
  { headers },
);
await client.deleteCustomer({ id }, { headers });
const afterwards = await client.getCustomer({ id }, { headers });

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
    // A browser cannot stream requests.
    uploaded: transport.startsWith("web") ? null : await uploaded(),
    sent: [...sent],
  }),
);
