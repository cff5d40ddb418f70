"""Records what concurrent clients do to a few customers, and whether one order explains it.

Clients of several workers create, read, update and delete the customers of a few references, with
and without If-Match, by REST and gRPC, while one worker is killed. For each reference the calls,
with their times, must be linearizable: as if each had been made at one moment between its
beginning and its end. A call that was not answered may take effect at any later time, or never.
"""

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from tests.soak.kills import kill_server
from tests.soak.linearizability import Impossible, Operation, unexplained
from tests.soak.place import Answer, Caller, Place, calling
from tests.soak.report import Plan, Report
from tests.support.client import SECONDS
from tests.support.concurrency import in_background
from tests.support.program import say

COLUMNS = (
    "Workers killed",
    "Rounds",
    "Calls",
    "Reads",
    "Changes",
    "Refused",
    "Unknown",
    "Not linearizable",
)
_CLIENTS = 6
_REFERENCES = 4
_PAUSE_SECONDS = 0.05

DONE, EXISTS, MISSING, MISMATCH = "done", "exists", "missing", "mismatch"
UNKNOWN, NOT_MADE = "unknown", "not made"
_OUTCOMES = {
    "OK": DONE,
    "409": MISMATCH,
    "ABORTED": MISMATCH,
    "ALREADY_EXISTS": EXISTS,
    "404": MISSING,
    "NOT_FOUND": MISSING,
}

# The name that the last change gave a customer; None if there is no customer.
State = str | None


class Act(NamedTuple):
    """A call: what it wanted, and what it was told."""

    kind: str
    outcome: str
    # What a change makes of the customer; what a read found.
    name: State = None
    # The name of the version that If-Match asks for.
    only: State = None


def step(act: Act, state: State) -> State:
    """Returns the state after a call in a state. Raises Impossible."""
    if act.kind == "read":
        if act.name != state:
            raise Impossible
        return state
    outcome = _expected(act, state)
    # What may or may not have been made had an effect, if it was.
    if outcome != (DONE if act.outcome == UNKNOWN else act.outcome):
        raise Impossible
    return act.name if outcome == DONE else state


def _expected(act: Act, state: State) -> str:
    if act.kind == "create":
        return DONE if state is None else EXISTS
    if state is None:
        return DONE if act.kind == "delete" else MISSING
    return DONE if act.only in (None, state) else MISMATCH


class Seen(NamedTuple):
    """A version of a customer, and its entity tag."""

    name: str
    etag: str


class Client:
    """One of the clients, which calls until it is told to stop."""

    def __init__(self, number: int, caller: Caller, chance: random.Random) -> None:
        self.history: dict[str, list[Operation[Act]]] = {}
        self.faults: list[str] = []
        self._number = number
        self._caller = caller
        self._random = chance
        self._numbers = itertools.count()
        self._seen: dict[str, Seen] = {}
        self._acts: list[Callable[[str], Act]] = [
            self._create,
            self._read,
            self._read,
            self._update,
            self._update,
            self._delete,
        ]

    def call(self, ref: str) -> bool:
        """Makes a call, and notes it; tells whether it was answered."""
        called = time.monotonic()
        act = self._random.choice(self._acts)(ref)
        is_known = act.outcome != UNKNOWN
        operation = Operation(act, called, time.monotonic()) if is_known else Operation(act, called)
        if act.outcome == NOT_MADE:
            return False
        # A read that was not answered says nothing.
        if is_known or act.kind != "read":
            self.history.setdefault(ref, []).append(operation)
        return is_known

    def _create(self, ref: str) -> Act:
        name = self._next()
        answer = self._either(
            lambda: self._caller.rest("POST", "/customers", _content(ref, name)),
            lambda: self._caller.native(lambda it: it.create(_message(ref, name))),
        )
        # By REST, 409 stands for two things.
        return self._changed(
            Act("create", self._outcome(answer, {"409": EXISTS}), name), ref, answer
        )

    def _read(self, ref: str) -> Act:
        email = _email(ref)
        answer = self._either(
            lambda: self._caller.rest("GET", f"/customers/{ref}/ref"),
            lambda: self._caller.rest("GET", f"/customers/search?email={email}"),
            lambda: self._caller.native(lambda it: it.get_by_email(email)),
            lambda: self._caller.native(lambda it: it.get_by_ref(ref)),
            lambda: self._caller.native(
                lambda it: it.lookup(pb.LookupCustomersRequest(email=email))
            ),
        )
        found = answer.value if isinstance(answer.value, list) else [answer.value]
        if not answer.is_done or not found:
            return Act("read", self._outcome(answer, {}))
        if len(found) > 1:
            self.faults.append(f"{ref} is there {len(found)} times")
        name = self._name(found[0])
        if answer.etag:
            self._seen[ref] = Seen(name, answer.etag)
        return Act("read", DONE, name)

    def _update(self, ref: str) -> Act:
        name, only = self._next(), self._condition(ref)
        headers = {"if-match": only.etag} if only else {}
        content = {"firstName": name, "lastName": name}
        message = Customer(customer_ref=ref, first_name=name, last_name=name)
        answer = self._either(
            lambda: self._caller.rest("PUT", f"/customers/customerRef={ref}", content, headers),
            lambda: self._caller.native(lambda it: it.update(message), headers),
        )
        act = Act("update", self._outcome(answer, {}), name, only and only.name)
        return self._changed(act, ref, answer)

    def _delete(self, ref: str) -> Act:
        only = self._condition(ref)
        headers = {"if-match": only.etag} if only else {}
        answer = self._either(
            lambda: self._caller.rest("DELETE", f"/customers/{ref}/ref", None, headers),
            lambda: self._caller.native(lambda it: it.delete_by_ref(ref), headers),
        )
        return Act("delete", self._outcome(answer, {}), None, only and only.name)

    def _either(self, *calls: Callable[[], Answer]) -> Answer:
        return self._random.choice(calls)()

    def _condition(self, ref: str) -> Seen | None:
        return self._seen.get(ref) if self._random.random() < 0.5 else None

    def _changed(self, act: Act, ref: str, answer: Answer) -> Act:
        if answer.is_done:
            name = self._name(answer.value)
            if name != act.name:
                self.faults.append(f"{act.kind} of {act.name} was answered with {name}")
            self._seen[ref] = Seen(name, answer.etag)
        return act

    def _outcome(self, answer: Answer, others: dict[str, str]) -> str:
        if answer.is_unknown or answer.is_away:
            return UNKNOWN if answer.is_unknown else NOT_MADE
        outcome = (_OUTCOMES | others).get(answer.status)
        if outcome is None:
            self.faults.append(f"a call was {answer}")
        return outcome or UNKNOWN

    def _name(self, customer: Any) -> str:
        """The name of a customer's version, which is in two fields of it."""
        is_json = isinstance(customer, dict)
        first = customer["firstName"] if is_json else customer.first_name
        last = customer["lastName"] if is_json else customer.last_name
        if first != last:
            self.faults.append(f"a customer is half {first}, half {last}")
        return str(first)

    def _next(self) -> str:
        return f"{self._number}.{next(self._numbers)}"


def run(place: Place, plan: Plan) -> Report:
    """Records the plan's rounds, each of so many calls, and checks them."""
    chance = random.Random(plan.seed)
    counts: Counter[str] = Counter()
    faults: list[str] = []
    for number in range(plan.rounds):
        clients, is_killed = _round(place, f"history-{number}", plan.calls, chance)
        wrong = [fault for client in clients for fault in client.faults]
        wrong += _check(f"round {number}", clients)
        counts.update(_counts(clients), killed=is_killed)
        faults += wrong
        say(f"[{number + 1}/{plan.rounds}] {'; '.join(wrong) or 'held'}")
    row = [counts[it] for it in ("killed", "calls", "read", DONE, "refused", UNKNOWN)]
    return Report(COLUMNS, [[row[0], plan.rounds, *row[1:], len(faults)]], faults)


def _round(
    place: Place, tenant: str, calls: int, chance: random.Random
) -> tuple[list[Client], bool]:
    """Returns the clients after their calls, and whether a worker was killed meanwhile."""
    made = itertools.count()
    is_killed = False
    failed = threading.Event()

    def work(number: int, seed: int) -> Client:
        own = random.Random(seed)
        with calling(place, tenant) as caller:
            client = Client(number, caller, own)
            while next(made) < calls and not failed.is_set():
                if not client.call(f"ref-{own.randrange(_REFERENCES)}"):
                    time.sleep(_PAUSE_SECONDS)
        return client

    seeds = [chance.randrange(1 << 32) for _ in range(_CLIENTS)]
    # Killed again before it is back, too many calls would be unknown, and explain anything.
    place.wait_whole()
    working = in_background([partial(work, *it) for it in enumerate(seeds)])
    time.sleep(chance.uniform(0, 0.3))
    if not all(it.done() for it in working):
        kill_server(place)
        is_killed = True
    return [it.result(2 * SECONDS) for it in working], is_killed


def _check(where: str, clients: list[Client]) -> list[str]:
    wrong = []
    for number in range(_REFERENCES):
        ref = f"ref-{number}"
        history = [it for client in clients for it in client.history.get(ref, ())]
        if misfit := unexplained(history, None, step):
            wrong.append(f"{where}, {ref}: no order explains {misfit}, of {len(history)} calls")
    return wrong


def _counts(clients: list[Client]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for client in clients:
        for history in client.history.values():
            for act, *_ in history:
                counts["calls"] += 1
                counts["read" if act.kind == "read" else act.outcome] += 1
    counts["refused"] = sum(counts[it] for it in (EXISTS, MISSING, MISMATCH))
    return counts


def _email(ref: str) -> str:
    return f"{ref}@example.com"


def _content(ref: str, name: str) -> dict[str, str]:
    return {"email": _email(ref), "customerRef": ref, "firstName": name, "lastName": name}


def _message(ref: str, name: str) -> Customer:
    return Customer(email=_email(ref), customer_ref=ref, first_name=name, last_name=name)
