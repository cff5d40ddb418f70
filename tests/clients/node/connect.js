// The calls of every client, by connect: over gRPC and gRPC-Web, as in Node.js and as in a browser.
import { ConnectError, createClient } from "@connectrpc/connect";
import * as forNode from "@connectrpc/connect-node";
import * as forWeb from "@connectrpc/connect-web";
import { BadRequestSchema, ErrorInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import { Attribute_ValueType, Customer_State } from "./gen/twc/customer/v2/customer_pb.js";
import { CustomerService } from "./gen/twc/customer/v2/customer_service_pb.js";

const { address, headers, transport, values } = JSON.parse(process.argv[2]);
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

function shown(customer) {
  const group = customer.attributeGroups[values.group];
  return {
    ref: customer.customerRef,
    email: customer.email,
    firstName: customer.firstName,
    lastName: customer.lastName,
    mobile: customer.mobile,
    state: Customer_State[customer.customerState],
    city: customer.defaultAddress.city,
    country: customer.addresses[0].countryCode,
    attribute: group.attributes[values.attribute].attributeValue,
  };
}

async function failure(rpc, request, callHeaders = headers) {
  try {
    await client[rpc](request, { headers: callHeaders });
  } catch (raised) {
    const error = ConnectError.from(raised);
    const [{ reason, metadata }] = error.findDetails(ErrorInfoSchema);
    const violations = error.findDetails(BadRequestSchema).flatMap((it) => it.fieldViolations);
    return { code: error.code, reason, metadata, fields: violations.map(({ field }) => field) };
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
  {
    customer: {
      customerRef: values.ref,
      email: values.email,
      firstName: values.firstName,
      lastName: values.lastName,
      mobile: values.mobile,
      customerState: Customer_State.invited,
      addresses: [{ city: values.city, countryCode: values.country }],
      attributeGroups: {
        [values.group]: {
          attributes: {
            [values.attribute]: { attributeValue: "42", valueType: Attribute_ValueType.INTEGER },
          },
        },
      },
    },
  },
  { headers },
);
const { id } = created;
const errors = {
  clash: await failure("createCustomer", { customer: { email: values.email } }),
  invalid: await failure("createCustomer", {
    customer: { email: "ada", addresses: [{ countryCode: "XX" }] },
  }),
  missing: await failure("getCustomerByRef", { customerRef: "none" }),
  anonymous: await failure("getCustomer", { id }, {}),
};
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
