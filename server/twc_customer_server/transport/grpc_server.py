"""Serves wrapped RPCs by grpcio, with health and reflection, from start to graceful shutdown."""

import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from twc_customer_server.contract import MAX_UPLOAD_BYTES, SERVICE
from twc_customer_server.settings import Settings
from twc_customer_server.transport.executor import Executor
from twc_customer_server.transport.ext_authz import Authorization

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

CHANNEL_OPTIONS = (
    # Larger than what the rules allow, so that their error answers, not grpcio's;
    # likewise for a token that is too long, which authentication answers with 401.
    ("grpc.max_receive_message_length", MAX_UPLOAD_BYTES + (1 << 20)),
    ("grpc.max_metadata_size", 128 << 10),
    ("grpc.absolute_max_metadata_size", 128 << 10),
    # Clients may ping as often as proxies do to keep idle connections open.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
)

_HANDLERS: dict[tuple[bool, bool], Callable[..., "grpc.RpcMethodHandler[Any, Any]"]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


class GrpcServer:
    """A grpcio server that listens from its construction, and serves from `start` to `stop`."""

    def __init__(
        self,
        rpcs: SimpleNamespace,
        authorization: Authorization,
        settings: Settings,
        addresses: Sequence[str],
    ) -> None:
        """Binds the addresses (`host:port` or `unix:path`). Raises OSError if one is taken.

        `rpcs` are the handlers of encoded messages that `middleware.rpc.wrap`
        returns.
        """
        self._settings = settings
        self._executor = Executor(settings.threads)
        self._server = grpc.server(
            # grpcio calls no more of it than `Executor` has.
            cast("ThreadPoolExecutor", self._executor),
            options=[*CHANNEL_OPTIONS, ("grpc.so_reuseport", int(settings.share_port))],
            maximum_concurrent_rpcs=settings.max_concurrent_rpcs,
        )
        register(self._server, rpcs)
        self._server.add_generic_rpc_handlers((authorization.handler(),))
        self._health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if settings.serves_reflection:
            names = (SERVICE.full_name, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)
        credentials = _credentials(settings)
        self.ports = [_bind(self._server, address, credentials) for address in addresses]

    def start(self) -> None:
        """Serves, and reports SERVING."""
        self._server.start()
        for service in ("", SERVICE.full_name):
            self._health.set(service, health_pb2.HealthCheckResponse.SERVING)

    def stop(self) -> None:
        """Reports NOT_SERVING for DRAIN_SECONDS, then gives running calls GRACE_SECONDS to end."""
        self._health.enter_graceful_shutdown()
        time.sleep(self._settings.drain_seconds)
        self._server.stop(self._settings.grace_seconds).wait()
        self._executor.stop()


def register(server: grpc.Server, rpcs: SimpleNamespace) -> None:
    """Adds the RPCs of CustomerService to a server, as handlers of encoded messages."""
    # Without serializers grpcio passes bytes through.
    handlers = {
        method.name: _HANDLERS[method.client_streaming, method.server_streaming](
            getattr(rpcs, method.name), None, None
        )
        for method in SERVICE.methods
    }
    generic = grpc.method_handlers_generic_handler(SERVICE.full_name, handlers)
    server.add_generic_rpc_handlers((generic,))
    server.add_registered_method_handlers(SERVICE.full_name, handlers)


def address_taken(address: str) -> str:
    """Returns the error message for an address that cannot be bound."""
    return f"cannot listen on {address}: is something else listening there?"


def _credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """Reads the TLS files, mutual if a client CA is set; returns None without TLS."""
    if not (settings.tls_certificate and settings.tls_key):
        return None
    pair = (settings.tls_key.read_bytes(), settings.tls_certificate.read_bytes())
    ca = settings.tls_client_ca.read_bytes() if settings.tls_client_ca else None
    return grpc.ssl_server_credentials([pair], ca, require_client_auth=ca is not None)


def _bind(server: grpc.Server, address: str, credentials: grpc.ServerCredentials | None) -> int:
    """Binds an address; a Unix socket needs no TLS, since its folder's mode restricts access."""
    try:
        if credentials is None or address.startswith("unix:"):
            return server.add_insecure_port(address)
        return server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise OSError(address_taken(address)) from error
