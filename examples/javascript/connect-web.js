// Creates customers, looks one up, reads errors and lists page by page, by gRPC-Web in a page.
import { ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { ErrorInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import { CustomerService } from "./gen/twc/customer/v2/customer_service_pb.js";

const DEADLINE_MS = 10_000;

async function tryAll({ service, token, tenant }, print) {
  const authenticate = (next) => (request) => {
    request.header.set("authorization", `Bearer ${token}`);
    request.header.set("x-twc-tenant", tenant);
    return next(request);
  };
  const client = createClient(
    CustomerService,
    createGrpcWebTransport({
      baseUrl: service,
      interceptors: [authenticate],
      defaultTimeoutMs: DEADLINE_MS,
    }),
  );
  const run = `ada-${Date.now()}`; // So that each run has e-mail addresses of its own.

  for (const number of [1, 2, 3]) {
    const customer = await client.createCustomer({
      customer: { email: `${run}-${number}@example.com` },
    });
    print(`created ${customer.email}`);
  }

  for await (const customer of client.lookupCustomers({ email: `${run}-1@example.com` })) {
    print(`found ${customer.email}`);
  }

  for (const email of [`${run}-1@example.com`, "nobody"]) {
    try {
      await client.createCustomer({ customer: { email } });
    } catch (raised) {
      const error = ConnectError.from(raised);
      // The reason is made for programs; other details are found in the same way.
      const [info] = error.findDetails(ErrorInfoSchema);
      print(`${info?.reason}: ${error.rawMessage}`);
    }
  }

  let pageToken;
  do {
    const page = await client.listCustomers({ filter: `email = "${run}*"`, pageSize: 2, pageToken });
    print(`page: ${page.customers.length}`);
    pageToken = page.nextPageToken;
  } while (pageToken);
}

const output = document.querySelector("output");
document.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  output.textContent = "";
  const given = Object.fromEntries(new FormData(event.target));
  const print = (line) => output.append(`${line}\n`);
  try {
    await tryAll(given, print);
    print("done");
  } catch (error) {
    print(error);
  }
});
