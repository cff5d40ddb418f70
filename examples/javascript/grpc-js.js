// Creates customers, looks one up, reads errors and lists page by page, by gRPC in Node.js.
// TOKEN is a bearer token; TENANT and SERVICE may say whose, and where.
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const { TOKEN, TENANT = "acme", SERVICE = "127.0.0.1:50051" } = process.env;
const DEADLINE_SECONDS = 10;

const contract = loadSync(
  ["twc/customer/v2/customer_service.proto", "google/rpc/error_details.proto"],
  {
    includeDirs: [fileURLToPath(new URL("../../dist/contract/protos", import.meta.url))],
    enums: String,
    longs: String,
  },
);
const { CustomerService } = grpc.loadPackageDefinition(contract).twc.customer.v2;
const client = new CustomerService(SERVICE, grpc.credentials.createInsecure());
const caller = new grpc.Metadata();
caller.set("authorization", `Bearer ${TOKEN}`);
caller.set("x-twc-tenant", TENANT);

const options = () => ({ deadline: Date.now() + DEADLINE_SECONDS * 1000 });
const call = (rpc, request) => promisify(client[rpc].bind(client))(request, caller, options());

// The reason of an error, which is made for programs; other details are found in the same way.
function reasonOf(error) {
  const [packed] = error.metadata.get("grpc-status-details-bin");
  if (!packed) return grpc.status[error.code]; // Not of the service: the connection, or a proxy.
  const { details } = contract["google.rpc.Status"].deserialize(packed);
  const info = details.find((detail) => detail.type_url.endsWith("/google.rpc.ErrorInfo"));
  return contract["google.rpc.ErrorInfo"].deserialize(info.value).reason;
}

const run = `ada-${Date.now()}`; // So that each run has e-mail addresses of its own.

for (const number of [1, 2, 3]) {
  const customer = await call("CreateCustomer", {
    customer: { email: `${run}-${number}@example.com` },
  });
  console.log(`created ${customer.email}`);
}

const found = client.LookupCustomers({ email: `${run}-1@example.com` }, caller, options());
for await (const customer of found) console.log(`found ${customer.email}`);

for (const email of [`${run}-1@example.com`, "nobody"]) {
  try {
    await call("CreateCustomer", { customer: { email } });
  } catch (error) {
    console.log(`${reasonOf(error)}: ${error.details}`);
  }
}

let pageToken;
do {
  const page = await call("ListCustomers", {
    filter: `email = "${run}*"`,
    pageSize: 2,
    pageToken,
  });
  console.log(`page: ${page.customers.length}`);
  pageToken = page.nextPageToken;
} while (pageToken);

client.close();
