"""The composition root: puts settings, storage, servicer and gRPC server together."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from twc.customer.v2 import customer_service_pb2

from server import handlers
from server.boundary import guard
from server.servicer import CustomerServicer
from server.settings import Settings
from server.storage.customers import CustomerStore
from server.storage.database import Database
from server.upload import MAX_BYTES

SERVICE = customer_service_pb2.DESCRIPTOR.services_by_name["CustomerService"]

_OPTIONS = (
    # The rules, which say what is right, are to refuse what is too large.
    ("grpc.max_receive_message_length", MAX_BYTES + (1 << 20)),
    # A second server on the same port is a mistake, not a share of the load.
    ("grpc.so_reuseport", 0),
    # Clients may ping as often as proxies do to keep idle connections open.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
)


class App:
    """A server on its addresses, from `start` to `stop`."""

    def __init__(self, settings: Settings, addresses: Sequence[str]) -> None:
        """Binds the addresses (`host:port` or `unix:path`). Raises OSError if one is taken."""
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        self._settings = settings
        self._database = Database(settings.data_dir / "customers.db")
        self._server = grpc.server(
            ThreadPoolExecutor(settings.threads, thread_name_prefix="rpc"),
            options=_OPTIONS,
            maximum_concurrent_rpcs=settings.max_concurrent_rpcs,
        )
        servicer = CustomerServicer(CustomerStore(self._database), settings.region)
        handlers.add(self._server, SERVICE, guard(servicer, SERVICE))
        self._health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            (SERVICE.full_name, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server
        )
        self.ports = [_bind(self._server, address) for address in addresses]

    def start(self) -> None:
        """Opens the database and serves."""
        self._database.prepare()
        self._server.start()
        for service in ("", SERVICE.full_name):
            self._health.set(service, health_pb2.HealthCheckResponse.SERVING)

    def stop(self) -> None:
        """Reports NOT_SERVING, lets running calls end, then closes the database."""
        self._health.enter_graceful_shutdown()
        time.sleep(self._settings.drain_seconds)
        self._server.stop(self._settings.grace_seconds).wait()
        self._database.shut_down()


def _bind(server: grpc.Server, address: str) -> int:
    try:
        return server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"cannot listen on {address}: is something else listening there?") from error
