"""What is left of the service when all that it does is taken away: gRPC alone.

The server is grpcio's, with the options and threads of the service, and
answers every call with the same bytes: no identity, no rules, no storage, no
log, no message that is read or written. Nothing that is built on it can be
faster. It listens on addresses as the service does, and answers health checks,
so that it can stand behind the gateway; it names no HTTP status, so that a
creation is answered with 200 there.

`python -m bench.peers.floor --body FILE ADDRESS...`; the file has an encoded Customer.
"""

import argparse
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from twc_customer_server.contract import SERVICE
from twc_customer_server.settings import Settings
from twc_customer_server.transport.grpc_server import CHANNEL_OPTIONS

_STOP = (signal.SIGTERM, signal.SIGINT)


def _handlers(body: bytes) -> "dict[str, grpc.RpcMethodHandler[bytes, bytes]]":
    def one(_request: bytes, _context: grpc.ServicerContext) -> bytes:
        return body

    def many(_request: bytes, _context: grpc.ServicerContext) -> Iterator[bytes]:
        return iter([body])

    unary = ("GetCustomer", "CreateCustomer", "UpdateCustomer")
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        name: grpc.unary_unary_rpc_method_handler(one) for name in unary
    }
    return handlers | {"LookupCustomers": grpc.unary_stream_rpc_method_handler(many)}


def serve(body: bytes, addresses: list[str]) -> None:
    """Answers every call with a body until a signal comes."""
    settings = Settings()
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)
    server = grpc.server(
        ThreadPoolExecutor(settings.threads),
        options=[*CHANNEL_OPTIONS, ("grpc.so_reuseport", int(settings.share_port))],
        maximum_concurrent_rpcs=settings.max_concurrent_rpcs,
    )
    handlers = _handlers(body)
    generic = grpc.method_handlers_generic_handler(SERVICE.full_name, handlers)
    server.add_generic_rpc_handlers((generic,))
    server.add_registered_method_handlers(SERVICE.full_name, handlers)
    healthy = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    for address in addresses:
        server.add_insecure_port(address)
    server.start()
    for service in ("", SERVICE.full_name):
        healthy.set(service, health_pb2.HealthCheckResponse.SERVING)
    signal.sigwait(_STOP)
    server.stop(settings.grace_seconds).wait()


def main() -> None:
    """Serves what the arguments name."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers.floor")
    parser.add_argument("--body", type=Path, required=True, help="file with an encoded Customer")
    parser.add_argument("addresses", nargs="+", help="host:port or unix:path")
    given = parser.parse_args()
    serve(given.body.read_bytes(), given.addresses)


if __name__ == "__main__":
    main()
