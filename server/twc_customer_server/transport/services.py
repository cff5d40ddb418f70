"""The RPCs of the service, and those beside it: what admits, runs and refuses their calls.

It is the same whatever transport brings the calls.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace
from typing import Any

import grpc
from grpc_health.v1 import health_pb2_grpc

from twc_customer_server.concurrency.executor import Executor
from twc_customer_server.contract import (
    LONG_LIVED_RPCS,
    REPEATABLE_RPCS,
    SERVICE,
    WAITING_RPCS,
)
from twc_customer_server.errors import OutcomeUnknown, Unavailable
from twc_customer_server.settings.model import Settings
from twc_customer_server.telemetry.families import QUEUED_CALLS
from twc_customer_server.telemetry.metrics import OwnMetrics
from twc_customer_server.transport import health
from twc_customer_server.transport.admission import Admission, Dispatcher
from twc_customer_server.transport.calls import Awaits, Rpc, refuse
from twc_customer_server.transport.ext_authz import Authorization
from twc_customer_server.transport.health import Health
from twc_customer_server.transport.identification import Identifier, Identity
from twc_customer_server.transport.interface import Behavior
from twc_customer_server.transport.large_bodies import LargeBodies
from twc_customer_server.transport.limits import Kind, KindLimit, Limits, TenantLimits
from twc_customer_server.transport.places import Places
from twc_customer_server.transport.receiver import Receiver
from twc_customer_server.transport.reflection import Reflection
from twc_customer_server.transport.short_tasks import ShortTasks
from twc_customer_server.transport.stopping import SEEN_SECONDS, LateCalls, refuse_call
from twc_customer_server.transport.timer import Timer

STOPS = "the server stops; try again"
STOPPED = "the server stopped while it ran the change"

# Time between looks for calls whose messages do not come.
_TICK_SECONDS = 0.25

# Time in which each gateway asks whether the server serves, though it be a moment late.
_GATEWAY_SECONDS = 1.2 * health.GATEWAY_ASKS_SECONDS

# So that a tenant with an import, and a call that takes its time, leaves a place to others.
_FEWEST_PLACES = 3

# What errors call the calls of which there are only some at a time.
_NAMES = {
    Kind.BULK: "uploads, imports and exports",
    Kind.WAITING: "calls that wait for changes",
}

_HANDLERS: dict[tuple[bool, bool], Callable[..., "grpc.RpcMethodHandler[Any, Any]"]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


class Services:
    """All that is served, from `start` to `stop`; `dispatcher` takes the calls."""

    def __init__(
        self,
        rpcs: SimpleNamespace,
        identity: Identity,
        settings: Settings,
        metrics: OwnMetrics,
    ) -> None:
        """`rpcs` are the handlers of encoded messages that `middleware.rpc.wrap` returns.

        `identity` tells whose calls they are.
        """
        self._rpcs = rpcs
        self._settings = settings
        self._is_drained = False
        places = max(settings.threads, _FEWEST_PLACES)
        self._executor = Executor(places, spare_threads=settings.threads)
        self._tasks = ShortTasks()
        self.timer = Timer()
        self._metrics = metrics
        self._limits = limits = _limits(settings, metrics)
        identifier = Identifier(identity, limits, self._tasks, self.timer)
        admission = Admission(
            _kinds(rpcs),
            identifier,
            limits,
            Receiver(settings.threads),
            _places(settings),
            self._executor,
            self._tasks,
            ThreadPoolExecutor(settings.max_waiting_rpcs, thread_name_prefix="waiting"),
            self.timer,
        )
        self._health = Health([SERVICE.full_name])
        self._reflection = Reflection(SERVICE.full_name, health.SERVICE_NAME)
        self._authorization = authorization = Authorization(identity, identifier)
        count_refusal = partial(limits.count_refusal, "tenant_large_bodies")
        self._large_bodies = LargeBodies(count_refusal)
        self.dispatcher = Dispatcher(
            {
                **{getattr(rpcs, method.name): admission.accept for method in SERVICE.methods},
                self._health.Check: self._health.accept,
                self._health.Watch: self._health.accept,
                self._reflection.ServerReflectionInfo: self._reflection.accept,
                authorization.check: authorization.accept,
                self._large_bodies.process: self._large_bodies.accept,
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
                self._large_bodies.process: refuse_call,
            }
        )
        for tick in (admission.tick, self._health.tick, self._large_bodies.tick):
            self.timer.call_every(_TICK_SECONDS, tick)

    def register(self, server: grpc.Server, *, is_for_gateway: bool) -> None:
        """Adds the handlers of all services to a server; that for Envoy to one of the gateway."""
        register(server, self._rpcs)
        if is_for_gateway:
            handlers = (self._authorization.handler(), self._large_bodies.handler())
            server.add_generic_rpc_handlers(handlers)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        if self._settings.serves_reflection:
            server.add_generic_rpc_handlers((*self._reflection.handlers(),))

    def tell_ready(self, is_ready: Callable[[], bool]) -> None:
        """Reports SERVING of the service only while `is_ready` says, at once, that it can."""

        def tell() -> None:
            self._health.set_ready(is_ready=is_ready())

        tell()
        self.timer.call_every(_TICK_SECONDS, tell)

    def serves(self) -> bool:
        """Tells at once whether it reports to clients that it serves their calls."""
        return self._health.serves(SERVICE.full_name)

    def start(self) -> None:
        """Starts what calls need, and reports SERVING."""
        self.timer.start()
        self._health.set_serving(serves=True)

    def drain(self) -> None:
        """Reports NOT_SERVING to native clients, and to them alone, and serves on."""
        self._health.drain()
        self._is_drained = True

    def hold(self) -> None:
        """Reports NOT_SERVING, serves on until that is known, then holds the calls that come.

        Clients have DRAIN_SECONDS to know, and the gateways until each has asked. After `drain`
        nobody needs the time any more.
        """
        self._health.set_serving(serves=False)
        if not self._is_drained:
            asks = _GATEWAY_SECONDS if self._health.has_gateway() else 0
            time.sleep(max(self._settings.drain_seconds, asks))
        self.dispatcher.observe(self._late_calls.behaviors, self._late_calls.see)
        time.sleep(SEEN_SECONDS)
        self.dispatcher.divert(self._late_calls.behaviors, self._late_calls.accept)
        self._late_calls.await_pause()

    def refuse_late(self, on_refusing: Callable[[], object]) -> None:
        """Refuses the calls that were held and those that come, and ends watches of health.

        Calls `on_refusing` when clients go elsewhere, to end calls that would wait for longer.
        """
        self._late_calls.refuse()
        on_refusing()
        self._health.close()
        self._large_bodies.close()

    def end_calls(self) -> None:
        """Ends the calls that still run, with the error that their clients must know."""
        for call in self.dispatcher.open_calls():
            is_change = call.behavior in self._changes
            error = OutcomeUnknown(cause=STOPPED) if is_change else Unavailable(STOPS)
            call.end_with(refuse, error)

    def stop(self) -> None:
        """Ends the threads."""
        self.timer.stop()
        self._executor.stop()
        self._tasks.stop()
        self._reflection.stop()

    def sample(self) -> None:
        """Sets the metrics of calls that run and wait; to be called again and again."""
        self._limits.sample()
        self._metrics.series(QUEUED_CALLS).set(self._executor.queued + self._tasks.queued)


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


def _places(settings: Settings) -> dict[Kind, Places]:
    most = {Kind.BULK: _streams(settings), Kind.WAITING: settings.max_waiting_rpcs}
    return {kind: Places(most[kind], name) for kind, name in _NAMES.items()}


def _limits(settings: Settings, metrics: OwnMetrics) -> Limits:
    of_tenant = TenantLimits(settings.tenant_concurrent_calls, settings.tenant_requests_per_second)
    most = {
        Kind.BULK: settings.tenant_streams or max(1, _streams(settings) // 2),
        Kind.WAITING: settings.tenant_waiting_rpcs,
    }
    of_kinds = {kind: KindLimit(name, most[kind]) for kind, name in _NAMES.items()}
    return Limits(of_tenant, of_kinds, settings.max_concurrent_rpcs, metrics=metrics)
