"""Serves wrapped RPCs by grpcio, with health and reflection, from start to graceful shutdown."""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import grpc
from grpc_health.v1 import health_pb2_grpc

from twc_customer_server.contract import (
    LONG_LIVED_RPCS,
    REPEATABLE_RPCS,
    SERVICE,
    WAITING_RPCS,
)
from twc_customer_server.errors import OutcomeUnknown, Unavailable
from twc_customer_server.settings import Settings
from twc_customer_server.telemetry.families import QUEUED_CALLS
from twc_customer_server.telemetry.metrics import OwnMetrics
from twc_customer_server.transport import health, incoming
from twc_customer_server.transport.admission import Admission
from twc_customer_server.transport.calls import Awaits, Rpc, refuse
from twc_customer_server.transport.certificates import Certificates
from twc_customer_server.transport.connections import channel_options
from twc_customer_server.transport.executor import Executor
from twc_customer_server.transport.ext_authz import Authorization
from twc_customer_server.transport.health import Health
from twc_customer_server.transport.identification import Identifier, Identity
from twc_customer_server.transport.incoming import Behavior, Dispatcher
from twc_customer_server.transport.limits import Kind, KindLimit, Limits, TenantLimits
from twc_customer_server.transport.places import Places
from twc_customer_server.transport.ports import cannot_listen
from twc_customer_server.transport.receiver import Receiver
from twc_customer_server.transport.reflection import Reflection
from twc_customer_server.transport.stopping import LateCalls, refuse_call
from twc_customer_server.transport.timer import Timer

# Time in which the calls that were told that they have ended do so; then they are cancelled.
_CANCEL_SECONDS = 1

# Uploads, imports and exports that wait for a place.
_WAITING_STREAMS = 64

STOPS = "the server stops; try again"
STOPPED = "the server stopped while it ran the change"

# Time between looks for calls whose messages do not come.
_TICK_SECONDS = 0.25

_log = logging.getLogger(__name__)

_HANDLERS: dict[tuple[bool, bool], Callable[..., "grpc.RpcMethodHandler[Any, Any]"]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


class GrpcServer:
    """Listens on addresses from its construction, and serves from `start` to `stop`.

    Each address has a server of grpcio, with a thread for its events and a queue
    for calls that have come: neither the gateway nor native clients keep the
    other waiting.
    """

    def __init__(
        self,
        rpcs: SimpleNamespace,
        identity: Identity,
        settings: Settings,
        addresses: Sequence[str],
        metrics: OwnMetrics,
    ) -> None:
        """Binds the addresses (`host:port` or `unix:path`). Raises OSError if one is taken.

        `rpcs` are the handlers of encoded messages that `middleware.rpc.wrap`
        returns; `identity` tells whose calls they are.
        """
        self._settings = settings
        self._is_drained = False
        self._executor = Executor(settings.threads)
        self._timer = Timer()
        self._metrics = metrics
        self._limits = limits = _limits(settings, metrics)
        identifier = Identifier(identity, limits, self._executor, self._timer)
        admission = Admission(
            _kinds(rpcs),
            identifier,
            limits,
            Receiver(settings.threads),
            Places(_streams(settings)),
            self._executor,
            ThreadPoolExecutor(settings.max_waiting_rpcs, thread_name_prefix="waiting"),
            self._timer,
        )
        self._health = Health([SERVICE.full_name])
        self._reflection = Reflection(SERVICE.full_name, health.SERVICE_NAME)
        authorization = Authorization(identity, identifier)
        self._dispatcher = Dispatcher(
            {
                **{getattr(rpcs, method.name): admission.accept for method in SERVICE.methods},
                self._health.Check: self._health.accept,
                self._health.Watch: self._health.accept,
                self._reflection.ServerReflectionInfo: self._reflection.accept,
                authorization.check: authorization.accept,
            }
        )
        self._changes = {
            getattr(rpcs, method.name)
            for method in SERVICE.methods
            if method.name not in REPEATABLE_RPCS
        }
        self._late_calls = LateCalls(
            {
                **{getattr(rpcs, method.name): admission.refuse for method in SERVICE.methods},
                self._reflection.ServerReflectionInfo: refuse_call,
                authorization.check: refuse_call,
            }
        )
        for tick in (admission.tick, self._health.tick):
            self._timer.call_every(_TICK_SECONDS, tick)
        # Of both kinds of ports.
        self._certificates = Certificates(settings, settings.tls_client_ca)
        self._upstream_certificates = Certificates(settings, settings.upstream_client_ca)
        self._servers = []
        self.ports = []
        for address in addresses:
            server = self._new_server(address)
            register(server, rpcs)
            if _is_socket(address) or address == settings.upstream_address:
                server.add_generic_rpc_handlers((authorization.handler(),))
            health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
            if settings.serves_reflection:
                server.add_generic_rpc_handlers((*self._reflection.handlers(),))
            self._servers.append(server)
            self.ports.append(self._bind(server, address))

    def start(self, is_ready: Callable[[], bool]) -> None:
        """Serves, and reports SERVING, of the service while `is_ready` says at once that it can."""

        def tell() -> None:
            self._health.set_ready(is_ready=is_ready())

        tell()
        self._timer.call_every(_TICK_SECONDS, tell)
        self._timer.start()
        self._health.set_serving(serves=True)
        for server in self._servers:
            server.start()

    def serves(self) -> bool:
        """Tells at once whether it reports to clients that it serves their calls."""
        return self._health.serves(SERVICE.full_name)

    def drain(self) -> None:
        """Reports NOT_SERVING to native clients, and to them alone, and serves on."""
        self._health.drain()
        self._is_drained = True

    def stop(self, on_refusing: Callable[[], object]) -> None:
        """Reports NOT_SERVING for DRAIN_SECONDS, then gives running calls GRACE_SECONDS to end.

        After `drain` nobody needs the time for that any more. Calls
        `on_refusing` when clients go elsewhere, to end calls that would wait for longer.
        """
        self._health.set_serving(serves=False)
        if not self._is_drained:
            time.sleep(self._settings.drain_seconds)
        self._dispatcher.divert(self._late_calls.behaviors, self._late_calls.accept)
        self._late_calls.await_pause()
        grace = self._settings.grace_seconds
        stopped = [server.stop(grace + _CANCEL_SECONDS) for server in self._servers]
        self._late_calls.refuse()
        on_refusing()
        self._health.close()
        until = time.monotonic() + grace
        if not all(each.wait(until - time.monotonic()) for each in stopped):
            for call in self._dispatcher.open_calls():
                is_change = call.behavior in self._changes
                error = OutcomeUnknown(cause=STOPPED) if is_change else Unavailable(STOPS)
                call.end_with(refuse, error)
        for each in stopped:
            each.wait()
        self._timer.stop()
        self._executor.stop()
        self._reflection.stop()

    def sample(self) -> None:
        """Sets the metrics of calls that run and wait; to be called again and again."""
        self._limits.sample()
        self._metrics.series(QUEUED_CALLS).set(self._executor.queued)

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
            executor = self._dispatcher.executor(is_of_gateway=is_upstream)
            return grpc.server(executor, options=options)
        _log.warning(
            "grpcio %s is not known: idle calls occupy threads, and limits per tenant are off",
            grpc.__version__,
        )
        return grpc.server(
            ThreadPoolExecutor(self._settings.threads),
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


def _kinds(rpcs: SimpleNamespace) -> dict[Behavior, Rpc]:
    """Returns how the calls of each handler are received and queued."""
    kinds: dict[Behavior, Rpc] = {}
    for method in SERVICE.methods:
        handler = getattr(rpcs, method.name)
        is_long_lived = method.name in LONG_LIVED_RPCS
        awaits = Awaits.MESSAGE
        if method.client_streaming:
            # An import may send its first batch long after its headers.
            awaits = Awaits.NOTHING if is_long_lived else Awaits.ALL_MESSAGES
        kind = Kind.BULK if method.client_streaming or is_long_lived else Kind.UNARY
        if method.name in WAITING_RPCS:
            kind = Kind.WAITING
        kinds[handler] = Rpc(awaits, kind, method.server_streaming, handler)
    return kinds


def _streams(settings: Settings) -> int:
    """Returns the number of streams that run at a time, each of which occupies a thread."""
    return max(1, settings.threads // 2)


def _limits(settings: Settings, metrics: OwnMetrics) -> Limits:
    streams = _streams(settings)
    of_tenant = TenantLimits(settings.tenant_concurrent_calls, settings.tenant_requests_per_second)
    of_kinds = {
        Kind.BULK: KindLimit(
            "uploads, imports and exports",
            streams + _WAITING_STREAMS,
            settings.tenant_streams or max(1, streams // 2),
        ),
        Kind.WAITING: KindLimit(
            "calls that wait for changes", settings.max_waiting_rpcs, settings.tenant_waiting_rpcs
        ),
    }
    return Limits(of_tenant, of_kinds, settings.max_concurrent_rpcs, metrics=metrics)


def _is_socket(address: str) -> bool:
    """Tells whether an address is that of a Unix socket, to which only the gateway connects."""
    return address.startswith("unix:")
