"""Serves the services by grpcio, from start to graceful shutdown."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import grpc

from twc_customer_server import contract
from twc_customer_server.middleware.streams import cancel_after
from twc_customer_server.settings.model import Settings
from twc_customer_server.transport import incoming
from twc_customer_server.transport.certificates import Certificates
from twc_customer_server.transport.connections import channel_options
from twc_customer_server.transport.incoming import GrpcioExecutor
from twc_customer_server.transport.interface import Gone
from twc_customer_server.transport.ports import cannot_listen
from twc_customer_server.transport.services import Services

# Time in which the calls that were told that they have ended do so; then they are cancelled.
_CANCEL_SECONDS = 1

# Grace period in which a grpcio that is not known may report that a stream was cancelled.
_CANCELLATION_GRACE_SECONDS = 0.02

T = TypeVar("T")

_log = logging.getLogger(__name__)


class GrpcServer:
    """Listens on addresses from its construction, and serves from `start` to `stop`.

    Each address has a server of grpcio, with a thread for its events and a queue
    for calls that have come: neither the gateway nor native clients keep the
    other waiting.
    """

    def __init__(self, services: Services, settings: Settings, addresses: Sequence[str]) -> None:
        """Binds the addresses (`host:port` or `unix:path`). Raises OSError if one is taken."""
        self._services = services
        self._settings = settings
        # Of both kinds of ports.
        self._certificates = Certificates(settings, settings.tls_client_ca)
        self._upstream_certificates = Certificates(settings, settings.upstream_client_ca)
        self._servers = []
        self.ports = []
        for address in addresses:
            server = self._new_server(address)
            is_for_gateway = _is_socket(address) or address == settings.upstream_address
            services.register(server, is_for_gateway=is_for_gateway)
            self._servers.append(server)
            self.ports.append(self._bind(server, address))

    def start(self) -> None:
        """Serves, and reports SERVING."""
        self._services.start()
        for server in self._servers:
            server.start()

    def stop(self, on_refusing: Callable[[], object]) -> None:
        """Holds new calls, then gives running calls GRACE_SECONDS to end.

        Calls `on_refusing` when clients go elsewhere, to end calls that would wait for longer.
        """
        self._services.hold()
        grace = self._settings.grace_seconds
        stopped = [server.stop(grace + _CANCEL_SECONDS) for server in self._servers]
        self._services.refuse_late(on_refusing)
        until = time.monotonic() + grace
        if not all(each.wait(until - time.monotonic()) for each in stopped):
            self._services.end_calls()
        for each in stopped:
            each.wait()
        self._services.stop()

    def renew_certificates(self) -> None:
        """Has connections from now on use what the files of TLS have. Raises OSError."""
        for certificates in (self._certificates, self._upstream_certificates):
            certificates.renew()

    def _new_server(self, address: str) -> grpc.Server:
        is_upstream = address == self._settings.upstream_address
        options = [
            *channel_options(is_of_gateway=is_upstream or _is_socket(address)),
            ("grpc.so_reuseport", int(self._settings.share_port)),
        ]
        if incoming.IS_SUPPORTED:
            executor = GrpcioExecutor(self._services.dispatcher.take, is_of_gateway=is_upstream)
            return grpc.server(executor.as_threads(), options=options)
        _log.warning(
            "grpcio %s is not known: idle calls occupy threads, and limits per tenant are off",
            grpc.__version__,
        )
        return grpc.server(
            ThreadPoolExecutor(self._settings.threads),
            interceptors=[_BoundedStreams()],
            options=options,
            maximum_concurrent_rpcs=self._settings.max_concurrent_rpcs,
        )

    def _bind(self, server: grpc.Server, address: str) -> int:
        """Binds an address; a Unix socket needs no TLS, as its folder's mode restricts access."""
        setting, certificates = "GRPC_PORT", self._certificates
        if address == self._settings.upstream_address:
            setting, certificates = "UPSTREAM_PORT", self._upstream_certificates
        credentials = None if _is_socket(address) else certificates.credentials()
        try:
            if credentials is None:
                return server.add_insecure_port(address)
            return server.add_secure_port(address, credentials)
        except RuntimeError as error:
            setting = "" if _is_socket(address) else setting
            raise OSError(cannot_listen(address, setting)) from error


class _BoundedStreams(grpc.ServerInterceptor):
    """Ends streams that are broken off, or that nobody reads, as the executor does."""

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        """Wraps the handlers of streams."""
        handler = continuation(details)
        if handler and handler.unary_stream:

            def answer(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
                return _until_untaken(handler.unary_stream(request, context), context)

            return handler._replace(unary_stream=answer)
        if handler and handler.stream_stream:

            def exchange(messages: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
                messages = _until_broken_off(messages, context)
                return _until_untaken(handler.stream_stream(messages, context), context)

            return handler._replace(stream_stream=exchange)
        return handler


def _until_broken_off(messages: Iterator[T], context: grpc.ServicerContext) -> Iterator[T]:
    """Yields messages. Raises Gone if there are no more since the client has cancelled the call.

    grpcio ends them as it ends those that are complete, and tells of it a moment later.
    """
    ended = threading.Event()
    is_over = not context.add_callback(ended.set)
    yield from messages
    if is_over or ended.wait(_CANCELLATION_GRACE_SECONDS):
        raise Gone


def _until_untaken(responses: Iterator[T], context: grpc.ServicerContext) -> Iterator[T]:
    """Yields responses; cancels the call if its client takes too long to take one."""
    for response in responses:
        with cancel_after(context, contract.STREAM_IDLE_SECONDS):
            yield response


def _is_socket(address: str) -> bool:
    """Tells whether an address is that of a Unix socket, to which only the gateway connects."""
    return address.startswith("unix:")
