"""Serves the services inside Envoy, as an ASGI application that pyvoy calls."""

import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import grpc

from twc_customer_server.contract import MAX_BATCH_BYTES, MAX_UPLOAD_BYTES
from twc_customer_server.settings.model import Settings
from twc_customer_server.transport.inprocess_call import InprocessCall, Method, Receive, method_of
from twc_customer_server.transport.inprocess_response import Send
from twc_customer_server.transport.services import Services
from twc_customer_server.transport.wire import ProtocolError, encode_status, read_head

# Time between looks for calls whose client is gone, or whose deadline has passed.
_LOOK_SECONDS = 1

_POLL_SECONDS = 0.05


class InprocessServer:
    """Serves from `start` to `stop` the calls that the Envoy around it passes on.

    It listens nowhere itself. Envoy speaks HTTP/2 and TLS with clients, ends calls at their
    deadline, and bounds connections.
    """

    def __init__(self, services: Services, settings: Settings, _: Sequence[str]) -> None:
        self.ports: list[int] = []
        self._services = services
        self._grace_seconds = settings.grace_seconds
        # Messages may be larger than what the rules allow, so that their error answers.
        self.gateway = _Entrance(services, MAX_UPLOAD_BYTES + (1 << 20), is_for_gateway=True)
        self.native = _Entrance(services, MAX_BATCH_BYTES + (1 << 20), is_for_gateway=False)
        services.timer.call_every(_LOOK_SECONDS, self._look)

    def start(self) -> None:
        """Serves, and reports SERVING."""
        self._services.start()

    def stop(self, on_refusing: Callable[[], object]) -> None:
        """Refuses new calls, and gives running ones GRACE_SECONDS to end."""
        self._services.hold()
        self._services.refuse_late(on_refusing)
        until = time.monotonic() + self._grace_seconds
        while self._services.dispatcher.open_calls() and time.monotonic() < until:
            time.sleep(_POLL_SECONDS)
        self._services.end_calls()
        self._services.stop()

    def renew_certificates(self) -> None:
        """Does nothing: Envoy itself notices that files of TLS are replaced."""

    def _look(self) -> None:
        for call in self._services.dispatcher.open_calls():
            cast("InprocessCall", call).look()


class _Entrance:
    """Takes calls: those of native clients, or those that the gateway makes of requests."""

    def __init__(self, services: Services, most: int, *, is_for_gateway: bool) -> None:
        """A message takes `most` bytes at most."""
        self._dispatcher = services.dispatcher
        self._most = most
        self._is_for_gateway = is_for_gateway
        self._generic: list[grpc.GenericRpcHandler] = []
        self._methods: dict[str, Method] = {}
        services.register(cast("grpc.Server", self), is_for_gateway=is_for_gateway)

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Sequence[Any]) -> None:
        """Adds handlers, as `grpc.Server` does."""
        self._generic += generic_rpc_handlers

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        """Adds the handlers of a service, as `grpc.Server` does."""
        self._methods |= {
            f"/{service}/{name}": method_of(handler) for name, handler in handlers.items()
        }

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Takes a call, on pyvoy's thread, and has its messages received."""
        try:
            method = self._method(scope["path"])
            head = read_head(scope["headers"])
        except ProtocolError as error:
            _refuse(send, error)
            return
        # Like a gateway that calls by a Unix socket, it names its client in X-Forwarded-For.
        client = None if self._is_for_gateway else scope["client"]
        call = InprocessCall(method, head, client, send, self._most)
        self._dispatcher.take(call)
        await call.pump(receive)

    def _method(self, path: str) -> Method:
        """Returns the RPC of a path. Raises ProtocolError if there is none."""
        method = self._methods.get(path)
        if method is None:
            details = _Details(path)
            found = (handler for it in self._generic if (handler := it.service(details)))
            handler = next(found, None)
            if handler is None:
                raise ProtocolError(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
            method = self._methods[path] = method_of(handler)
        return method


class _Details(grpc.HandlerCallDetails):
    """The path that a generic handler is asked for."""

    def __init__(self, method: str) -> None:
        self.method = method
        self.invocation_metadata = ()


def _refuse(send: Send, error: ProtocolError) -> None:
    headers = [(b"content-type", b"application/grpc"), *encode_status(error.code, str(error), None)]
    send({"type": "http.response.start", "status": 200, "headers": headers})
    send({"type": "http.response.body", "body": b""})
