// The calls of every client, by grpc-web in a browser, whose XMLHttpRequest xhr2 provides in Node.js.
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import grpcWeb from "grpc-web";
import XMLHttpRequest from "xhr2";
import { BadRequestSchema, ErrorInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "./gen/google/rpc/status_pb.js";
import { Attribute_ValueType, Customer_State } from "./gen/twc/customer/v2/customer_pb.js";
import { CustomerService } from "./gen/twc/customer/v2/customer_service_pb.js";

const { address, headers, shared, values } = JSON.parse(process.argv[2]);
const { customerOf, described, failures, printer } = await import(shared);
const shown = printer(values, (state) => Customer_State[state]);
const sent = new Set();

globalThis.XMLHttpRequest = class extends XMLHttpRequest {
  setRequestHeader(name, value) {
    sent.add(name.toLowerCase());
    super.setRequestHeader(name, value);
  }
};

const client = new grpcWeb.GrpcWebClientBase({ format: "text" });

// What the generator protoc-gen-grpc-web writes of each RPC, here with messages of protobuf-es.
const prepared = ({ name, input, output, methodKind }, request) => [
  `http://${address}/${CustomerService.typeName}/${name}`,
  create(input, request),
  new grpcWeb.MethodDescriptor(
    `/${CustomerService.typeName}/${name}`,
    methodKind === "unary" ? grpcWeb.MethodType.UNARY : grpcWeb.MethodType.SERVER_STREAMING,
    Object,
    Object,
    (message) => toBinary(input, message),
    (bytes) => fromBinary(output, bytes),
  ),
];

function call(rpc, request, callHeaders = headers) {
  const [url, message, descriptor] = prepared(CustomerService.method[rpc], request);
  return client.unaryCall(url, message, callHeaders, descriptor);
}

function stream(rpc, request) {
  const [url, message, descriptor] = prepared(CustomerService.method[rpc], request);
  const responses = [];
  return new Promise((resolve, reject) => {
    client
      .serverStreaming(url, message, headers, descriptor)
      .on("data", (response) => responses.push(response))
      .on("error", reject)
      .on("end", () => resolve(responses));
  });
}

function readError(error) {
  const packed = Buffer.from(error.metadata["grpc-status-details-bin"], "base64");
  const { details } = fromBinary(StatusSchema, packed);
  const unpack = (schema) =>
    details
      .filter(({ typeUrl }) => typeUrl.endsWith(`/${schema.typeName}`))
      .map(({ value }) => fromBinary(schema, value));
  const [info] = unpack(ErrorInfoSchema);
  const violations = unpack(BadRequestSchema).flatMap((it) => it.fieldViolations);
  return described(error.code, info, violations);
}

const failure = (rpc, request, callHeaders) =>
  call(rpc, request, callHeaders).then(() => null, readError);

const created = await call("createCustomer", {
  customer: customerOf(values, Customer_State.invited, Attribute_ValueType.INTEGER),
});
const { id } = created;
const errors = await failures(failure, created, {});
const read = await call("getCustomer", { id });
const byRef = await call("getCustomerByRef", { customerRef: values.ref });
const found = await stream("lookupCustomers", { email: values.email });
const updated = await call("updateCustomer", {
  customer: { id, lastName: values.newName, customerState: Customer_State.enabled },
});
await call("deleteCustomer", { id });
const afterwards = await call("getCustomer", { id });

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
    uploaded: null, // A browser cannot stream requests.
    sent: [...sent],
  }),
);
