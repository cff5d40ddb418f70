"""Takes calls, and admits those of the service: identifies, counts, receives and queues them."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from twc_customer_server.auth.authenticator import Caller
from twc_customer_server.concurrency.executor import Executor
from twc_customer_server.errors import Overloaded, ServiceError
from twc_customer_server.transport.calls import Awaits, Call, Rpc
from twc_customer_server.transport.identification import Identifier
from twc_customer_server.transport.interface import Behavior, IncomingCall
from twc_customer_server.transport.limits import Kind, Limits
from twc_customer_server.transport.places import Places
from twc_customer_server.transport.receiver import Receiver
from twc_customer_server.transport.short_tasks import ShortTasks
from twc_customer_server.transport.timer import Timer
from twc_customer_server.transport.untaken import Untaken

_log = logging.getLogger(__name__)

Accept = Callable[[IncomingCall], object]


class Dispatcher:
    """Hands each call to the function that accepts the calls of its handler."""

    def __init__(self, accepts: Mapping[Behavior, Accept]) -> None:
        self._accepts = accepts
        self._open: set[IncomingCall] = set()

    def observe(self, behaviors: Iterable[Behavior], see: Accept) -> None:
        """Calls `see` with the calls of some handlers from here on, before they are accepted."""

        def seen(accept: Accept, call: IncomingCall) -> None:
            see(call)
            accept(call)

        observed = {it: partial(seen, self._accepts[it]) for it in behaviors}
        self._accepts = {**self._accepts, **observed}

    def divert(self, behaviors: Iterable[Behavior], accept: Accept) -> None:
        """Hands the calls of some handlers to another function from here on."""
        self._accepts = {**self._accepts, **dict.fromkeys(behaviors, accept)}

    def open_calls(self) -> list[IncomingCall]:
        """Returns the calls that have not ended."""
        return list(self._open)

    def take(self, call: IncomingCall) -> None:
        """Takes a call, on the thread of its transport; does not wait or fail."""
        if call.has_expired():
            # Its client knows, and may make thousands of them.
            return
        self._open.add(call)
        call.on_end(partial(self._open.discard, call))
        try:
            self._accepts[call.behavior](call)
        except Exception as error:  # noqa: BLE001 - the thread serves every call
            _log.error("a call was cancelled after %s", type(error).__name__)
            call.cancel()


class Admission:
    """Admits calls within the limits and has threads run them, of tenants in turn.

    The headers of a call suffice to refuse it. A caller whose token was
    verified before is known at once; others are identified on a thread, as
    one share. Only then is the message received, and only then does the call
    take a thread.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the steps of a call
        self,
        rpcs: Mapping[Behavior, Rpc],
        identifier: Identifier,
        limits: Limits,
        receiver: Receiver,
        places: Mapping[Kind, Places],
        executor: Executor,
        tasks: ShortTasks,
        waiting: ThreadPoolExecutor,
        timer: Timer,
    ) -> None:
        """`places` has those of each kind of call but unary ones, of which there are only some.

        `waiting` has a thread for each call that may wait for changes.
        """
        self._rpcs = rpcs
        self._identifier = identifier
        self._limits = limits
        self._executor = executor
        self._tasks = tasks
        self._waiting = waiting
        self._timer = timer
        self._receiver = receiver
        self._places = places
        self._untaken = Untaken(self._queue)
        # Calls that were told to make room, and have not ended; of `tick` alone.
        self._ending: list[tuple[Call, Overloaded]] = []
        # Guards the receiver and the places.
        self._lock = threading.Lock()

    def accept(self, incoming: IncomingCall) -> None:
        """Takes a call from grpcio."""
        call = Call(incoming, self._rpcs[incoming.behavior])
        known = self._identifier.cached(incoming.metadata)
        if isinstance(known, Caller):
            self._admit(call, known)
        elif known:
            self._refuse(call, known)
        else:
            self._identify(call)

    def refuse(self, incoming: IncomingCall, error: ServiceError) -> None:
        """Ends a call that was not accepted with an error."""
        Call(incoming, self._rpcs[incoming.behavior]).refuse(error)

    def tick(self) -> None:
        """Ends calls that wait for too long, and streams that others wait for.

        To be called several times a second.
        """
        with self._lock:
            late = self._receiver.take_late()
            waiting = [each for places in self._places.values() for each in places.take_late()]
            ending = [each for places in self._places.values() for each in places.make_room()]
            # Those that are not complete have no handler yet.
            waiting += (each for each in ending if self._receiver.forget(each[0]))
        for call, error in late:
            self._end("messages", call, error)
        for call, error in waiting:
            self._end(call.rpc.kind.value, call, error)
        for call, _ in ending:
            if not call.is_over:
                self._limits.count_refusal(call.rpc.kind.value)
        ending = [*self._ending, *ending]
        self._ending = [it for it in ending if not it[0].is_over and not it[0].end(it[1])]
        self._untaken.tick()

    def _end(self, limit: str, call: Call, error: ServiceError) -> None:
        """Ends a call that does not run."""
        self._limits.count_refusal(limit)
        call.refuse(error)
        self._release(call)

    def _identify(self, call: Call) -> None:
        incoming = call.incoming
        try:
            self._identifier.identify(incoming, incoming.metadata, partial(self._identified, call))
        except Overloaded as error:
            self._refuse(call, error)

    def _identified(self, call: Call, outcome: Caller | Exception) -> None:
        if isinstance(outcome, Overloaded):
            self._refuse(call, outcome)
        elif isinstance(outcome, Exception):
            call.refuse(outcome)
        else:
            self._admit(call, outcome)

    def _admit(self, call: Call, caller: Caller) -> None:
        call.caller = caller
        try:
            call.usage, delay = self._limits.admit(caller.tenant, call.rpc.kind)
        except Overloaded as error:
            self._refuse(call, error)
            return
        if delay:
            begin, forgo = partial(self._begin, call), partial(self._forgo, call)
            self._timer.call_when_due(delay, call.incoming, begin, forgo)
        else:
            self._begin(call)

    def _forgo(self, call: Call) -> None:
        call.is_over = True
        self._limits.forgo(call.usage, call.rpc.kind)

    def _begin(self, call: Call) -> None:
        if call.rpc.kind is not Kind.UNARY:
            with self._lock:
                has_place = self._places[call.rpc.kind].take(call)
            if not has_place:
                call.incoming.on_end(partial(self._forgo_place, call))
                return
        self._proceed(call)

    def _forgo_place(self, call: Call) -> None:
        """Ends the wait of a call that has ended meanwhile, unless it has got a place."""
        with self._lock:
            has_waited = self._places[call.rpc.kind].forgo(call)
        if has_waited:
            self._release(call)

    def _proceed(self, call: Call) -> None:
        if call.rpc.awaits is Awaits.NOTHING:
            self._queue(call)
            return
        with self._lock:
            receives = self._receiver.add(call)
        if receives:
            call.incoming.receive(partial(self._received, call))

    def _refuse(self, call: Call, error: ServiceError) -> None:
        """Has a thread refuse a call, soon, so that refusals delay no other call."""
        delay = self._limits.refuse(call.tenant)
        if delay is None:
            call.incoming.reject(str(error))
            return

        def refuse() -> None:
            self._limits.refused()
            call.refuse(error)

        due = partial(self._tasks.submit, refuse)
        forgo = partial(self._limits.forgo_refusal, call.tenant)
        self._timer.call_when_due(delay, call.incoming, due, forgo)

    def _receive(self, calls: Iterable[Call]) -> None:
        for call in calls:
            call.incoming.receive(partial(self._received, call))

    def _received(self, call: Call, message: bytes | None) -> None:
        if not call.add(message):
            call.since = time.monotonic()
            call.incoming.receive(partial(self._received, call))
            return
        with self._lock:
            following = self._receiver.complete(call)
        if following is not None:
            self._queue(call)
            if following:
                self._receive(following)

    def _queue(self, call: Call) -> None:
        run = partial(self._run, call)
        if call.rpc.kind is Kind.WAITING:
            self._free(call)
            self._waiting.submit(run)
        else:
            is_bulk = call.rpc.kind is Kind.BULK
            self._executor.submit(call.usage.tenant, run, is_bulk=is_bulk)

    def _run(self, call: Call) -> None:
        """Runs a call on the calling thread, unless its tenant has taken too little of others."""
        if self._untaken.may_run(call):
            call.run(self._answer)
        else:
            call.incoming.on_end(partial(self._forgo_run, call))

    def _forgo_run(self, call: Call) -> None:
        """Ends the wait of a call that has ended meanwhile, unless it runs."""
        if self._untaken.forget(call):
            self._release(call)

    def _answer(self, call: Call) -> None:
        """Notes that the handler of a call has ended, whose client is to take the answer."""
        if not call.is_over:
            self._release(call)
            self._untaken.add(call)

    def _release(self, call: Call) -> None:
        """Notes that an admitted call is over, unless that is noted."""
        if call.is_over:
            return
        call.is_over = True
        self._limits.release(call.usage, call.rpc.kind)
        if call.has_slot:
            self._free(call)
        if call.rpc.kind is not Kind.UNARY:
            with self._lock:
                following = self._places[call.rpc.kind].leave(call)
            if following:
                self._proceed(following)

    def _free(self, call: Call) -> None:
        """Frees what the call's message needed, for the message of another call."""
        with self._lock:
            following = self._receiver.free(call)
        self._receive(following)
