"""The standard health service, which needs none of the threads of RPCs."""

import math
import threading
import time
from collections.abc import Iterable
from functools import partial
from typing import NoReturn

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from twc_customer_server.errors import MalformedRequest, Overloaded, Unavailable
from twc_customer_server.middleware.compression import decompressed
from twc_customer_server.transport.calls import refuse
from twc_customer_server.transport.interface import IncomingCall, is_gateway
from twc_customer_server.transport.open_calls import OpenCalls

SERVICE_NAME = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

_SERVING: int = HealthCheckResponse.SERVING
_NOT_SERVING: int = HealthCheckResponse.NOT_SERVING

# A gateway asks a server that serves each second, see gateway/twc_customer_gateway/envoy.
GATEWAY_ASKS_SECONDS = 1
_GATEWAY_SECONDS = 3 * GATEWAY_ASKS_SECONDS

MAX_WATCHES = 100

# A request has the name of a service.
_MESSAGE_BYTES = 1 << 12

# Calls of the gateway, and of all others, whose message may be on its way: calls of others
# take no place of the gateway's own checks, for whose failure it would give a server up.
_MAX_WAITING = 16

TOO_MANY_WATCHES = f"the server has {MAX_WATCHES} Watch streams, the most that it may; use Check"


class Health(health_pb2_grpc.HealthServicer):
    """Answers Check at once, and tells watchers of each change.

    All of it runs on grpcio's thread, without waiting, so that it answers
    also when every other thread is busy.
    """

    def __init__(self, services: Iterable[str]) -> None:
        """Knows services and, by an empty name, the server itself; none serves at first.

        A service needs what the server itself does not: see `set_ready`.
        """
        self._lock = threading.Lock()
        self._is_ready = True
        self._services = frozenset(("", *services))
        # What the gateway is told, and all others.
        self._gateway_status = self._status = _NOT_SERVING
        self._of_gateway, self._of_others = (
            OpenCalls(_MAX_WAITING, self._receive) for _ in range(2)
        )
        self._watches: dict[IncomingCall, _Watch] = {}
        self._gateway_asked_at = -math.inf

    def Check(  # noqa: N802 - the service names it
        self, request: HealthCheckRequest, context: grpc.ServicerContext
    ) -> HealthCheckResponse:
        """Returns the status of a service."""
        if request.service not in self._services:
            context.abort(grpc.StatusCode.NOT_FOUND, "the server has no such service")
        return HealthCheckResponse(status=self._status_for(request.service, context.peer()))

    def Watch(self, _: HealthCheckRequest, context: grpc.ServicerContext) -> NoReturn:  # noqa: N802
        """Refuses a call that was not accepted by `accept`, since it would need a thread."""
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "use Check")

    def serves(self, service: str) -> bool:
        """Tells whether clients are told that a service serves."""
        return self._status_for(service, "") == _SERVING

    def has_gateway(self) -> bool:
        """Tells whether a gateway has lately asked whether the server serves."""
        return time.monotonic() - self._gateway_asked_at < _GATEWAY_SECONDS

    def accept(self, incoming: IncomingCall) -> None:
        """Takes a call from grpcio."""
        if incoming.behavior == self.Watch and not self._add_watch(incoming):
            incoming.run_with(refuse, Overloaded(TOO_MANY_WATCHES))
            return
        if is_gateway(incoming.peer()):
            self._gateway_asked_at = time.monotonic()
            self._of_gateway.accept(incoming)
        else:
            self._of_others.accept(incoming)

    def tick(self) -> None:
        """Ends calls whose message does not come; to be called several times a second."""
        self._of_gateway.tick()
        self._of_others.tick()

    def set_serving(self, *, serves: bool) -> None:
        """Sets the status of all services."""
        with self._lock:
            self._gateway_status = self._status = _SERVING if serves else _NOT_SERVING
        self._tell_all()

    def set_ready(self, *, is_ready: bool) -> None:
        """Sets whether the services have what they need; to be called again and again."""
        if is_ready != self._is_ready:
            with self._lock:
                self._is_ready = is_ready
            self._tell_all()

    def drain(self) -> None:
        """Sets the status to NOT_SERVING, but for the gateway."""
        with self._lock:
            self._status = _NOT_SERVING
        self._tell_all()

    def close(self) -> None:
        """Ends the streams of watchers, which would delay the end of the server."""
        with self._lock:
            watches = list(self._watches.values())
        for watch in watches:
            watch.end(Unavailable("the server stops"))

    def _add_watch(self, incoming: IncomingCall) -> bool:
        with self._lock:
            if len(self._watches) >= MAX_WATCHES:
                return False
            self._watches[incoming] = _Watch(incoming)
        incoming.on_end(partial(self._watches.pop, incoming, None))
        return True

    def _receive(self, incoming: IncomingCall, message: bytes) -> None:
        try:
            request = HealthCheckRequest.FromString(decompressed(message, _MESSAGE_BYTES))
        except DecodeError:
            incoming.run_with(refuse, MalformedRequest())
            return
        watch = self._watches.get(incoming)
        if watch is None:
            incoming.run_with(self.Check, request)
        else:
            watch.service = request.service
            self._tell(watch)

    def _status_for(self, service: str, peer: str) -> int:
        if service and not self._is_ready:
            return _NOT_SERVING
        return self._gateway_status if is_gateway(peer) else self._status

    def _tell_all(self) -> None:
        with self._lock:
            watches = list(self._watches.values())
        for watch in watches:
            self._tell(watch)

    def _tell(self, watch: "_Watch") -> None:
        """Sends a watcher the status of its service, unless it has it or is just getting one."""
        with self._lock:
            if watch.service is None or watch.is_sending:
                return
            is_known = watch.service in self._services
            status: int = HealthCheckResponse.SERVICE_UNKNOWN
            if is_known:
                status = self._status_for(watch.service, watch.incoming.peer())
            if watch.told == status:
                return
            watch.told, watch.is_sending = status, True
        encoded = HealthCheckResponse(status=status).SerializeToString()
        watch.incoming.send(encoded, partial(self._told, watch))

    def _told(self, watch: "_Watch") -> None:
        watch.is_sending = False
        self._tell(watch)


class _Watch:
    """A stream of Watch: the service once it is known, and the status that was sent last."""

    __slots__ = ("incoming", "is_sending", "service", "told")

    def __init__(self, incoming: IncomingCall) -> None:
        self.incoming = incoming
        self.service: str | None = None
        self.told: int | None = None
        self.is_sending = False

    def end(self, error: Unavailable) -> None:
        """Ends the stream, with the error unless its client takes no messages."""
        if self.is_sending:
            self.incoming.cancel()
        else:
            self.incoming.run_with(refuse, error)
