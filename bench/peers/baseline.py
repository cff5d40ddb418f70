"""The baseline: a gRPC server that returns the same bytes for every call, or those of a page.

It is grpcio's server, with the options and the number of threads of the service,
but without authentication, rules, storage, log and (de)serialization. No service
on grpcio can take less. It listens on the addresses of the service and implements
health checks, so that it can serve behind Envoy. It sets no HTTP status, so a
creation there has status 200.

`python -m bench.peers.baseline --page FILE ADDRESS...`; the file, which `bench.load.connection`
writes, has encoded Customers. The first one is the response to all calls but lookups of the page.
"""

import argparse
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from twc.customer.v2.customer_pb2 import Customer

from bench.load.connection import read_requests
from twc_customer_server.contract import SERVICE
from twc_customer_server.settings.model import Settings
from twc_customer_server.transport.connections import channel_options

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def _handlers(page: Sequence[bytes]) -> "dict[str, grpc.RpcMethodHandler[bytes, bytes]]":
    body = page[0]
    # The customers of the page have one last name, which a lookup of them has.
    is_of_page = Customer.FromString(body).last_name.encode()

    def one(_request: bytes, _context: grpc.ServicerContext) -> bytes:
        return body

    def many(request: bytes, _context: grpc.ServicerContext) -> Iterator[bytes]:
        return iter(page if is_of_page in request else (body,))

    unary = ("GetCustomer", "CreateCustomer", "UpdateCustomer")
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        name: grpc.unary_unary_rpc_method_handler(one) for name in unary
    }
    return handlers | {"LookupCustomers": grpc.unary_stream_rpc_method_handler(many)}


def serve(page: Sequence[bytes], addresses: list[str]) -> None:
    """Serves the customers of a page on addresses until SIGTERM or SIGINT."""
    settings = Settings()
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    server = grpc.server(
        ThreadPoolExecutor(settings.threads),
        options=[
            *channel_options(is_of_gateway=addresses[0].startswith("unix:")),
            ("grpc.so_reuseport", int(settings.share_port)),
        ],
        maximum_concurrent_rpcs=settings.max_concurrent_rpcs,
    )
    handlers = _handlers(page)
    generic = grpc.method_handlers_generic_handler(SERVICE.full_name, handlers)
    server.add_generic_rpc_handlers((generic,))
    server.add_registered_method_handlers(SERVICE.full_name, handlers)
    health_servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    for address in addresses:
        server.add_insecure_port(address)
    server.start()
    for service in ("", SERVICE.full_name):
        health_servicer.set(service, health_pb2.HealthCheckResponse.SERVING)
    signal.sigwait(_STOP_SIGNALS)
    server.stop(settings.grace_seconds).wait()


def main() -> None:
    """Serves the file on the addresses of the arguments."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers.baseline")
    parser.add_argument("--page", type=Path, required=True, help="file with encoded Customers")
    parser.add_argument("addresses", nargs="+", help="host:port or unix:path")
    args = parser.parse_args()
    serve([message.payload for message in read_requests(args.page)], args.addresses)


if __name__ == "__main__":
    main()
