"""Races clients to one value that is unique, in many spellings: one gets it, the others are told.

Each round is a new value, and a new tenant, for each field that is unique. Clients of several
workers create customers with it, by REST and gRPC, by uploads and imports, and give it to
customers that they have. One call succeeds, and all others are ALREADY_EXISTS.
"""

import itertools
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from twc.customer.v2.customer_pb2 import Customer

from tests.soak import spellings
from tests.soak.place import Answer, Caller, Place, calling
from tests.soak.report import Plan, Report
from tests.support.concurrency import at_once
from tests.support.import_stream import batch
from tests.support.program import say

COLUMNS = (
    "Field",
    "Rounds",
    "Calls",
    "Succeeded",
    "ALREADY_EXISTS",
    "Other",
    "Winning ways",
    "Calls a second",
)
_CLIENTS = 24
_CREATED, _EXISTS = "created", "exists"
_CODE = 6

# Field, its JSON name, and the spellings of its values.
FIELDS: dict[str, tuple[str, Callable[[int, random.Random], Iterator[str]]]] = {
    "email": ("email", spellings.of_email),
    "mobile": ("mobile", spellings.of_phone),
    "phone": ("phone", spellings.of_phone),
    "customer_ref": ("customerRef", spellings.of_reference),
    "alternate_customer_ref": ("alternateCustomerRef", spellings.of_reference),
}


class Attempt(NamedTuple):
    """A customer that shall have the value."""

    field: str
    value: str
    # An e-mail address of its own.
    email: str

    @property
    def message(self) -> Customer:
        """The customer, by gRPC."""
        values: dict[str, Any] = {"email": self.email} | {self.field: self.value}
        return Customer(**values)

    @property
    def content(self) -> dict[str, str]:
        """The customer, by REST."""
        return {"email": self.email} | {FIELDS[self.field][0]: self.value}


def _create(caller: Caller, attempt: Attempt) -> str:
    return _outcome(caller.rest("POST", "/customers", attempt.content))


def _create_natively(caller: Caller, attempt: Attempt) -> str:
    return _outcome(caller.native(lambda it: it.create(attempt.message)))


def _upload(caller: Caller, attempt: Attempt) -> str:
    answer = caller.rest("POST", "/upload-customers", [attempt.content])
    if not answer.is_done:
        return _outcome(answer)
    [result] = answer.value
    return _CREATED if "customer" in result else _error(result["error"]["code"])


def _import(caller: Caller, attempt: Attempt) -> str:
    answer = caller.native(lambda it: list(it.import_([batch(attempt.message)])))
    if not answer.is_done:
        return _outcome(answer)
    [result] = answer.value[0].results
    return _CREATED if result.created else _error(result.error.code)


def _update(caller: Caller, attempt: Attempt) -> str:
    own = caller.rest("POST", "/customers", {"email": attempt.email})
    if not own.is_done:
        return f"another customer was {own}"
    change = {"id": own.value["id"], FIELDS[attempt.field][0]: attempt.value}
    return _outcome(caller.rest("PUT", "/customers", change))


# Most create one by one, which is the fastest.
WAYS = {"upload": _upload, "import": _import, "update": _update}
FAST_WAYS = {"REST": _create, "gRPC": _create_natively}


def run(place: Place, plan: Plan) -> Report:
    """Races for each field in each of the plan's rounds, with as many calls each as it says."""
    chance = random.Random(plan.seed)
    outcomes: dict[str, Counter[str]] = {field: Counter() for field in FIELDS}
    winners: dict[str, Counter[str]] = {field: Counter() for field in FIELDS}
    spent: Counter[str] = Counter()
    faults: list[str] = []
    for number, field in itertools.product(range(plan.rounds), FIELDS):
        began = time.monotonic()
        told = _race(place, field, number, plan.calls, chance)
        spent[field] += round((time.monotonic() - began) * 1000)
        outcomes[field].update(outcome for _, outcome in told)
        winners[field].update(way for way, outcome in told if outcome == _CREATED)
        wrong = [*_wrong(f"{field} {number}", told), *place.database.faults()]
        faults += wrong
        say(f"[{number + 1}/{plan.rounds}] {field}: {'; '.join(wrong) or 'held'}")
    rows = [_row(it, plan.rounds, outcomes[it], winners[it], spent[it]) for it in FIELDS]
    return Report(COLUMNS, rows, faults)


def _race(
    place: Place, field: str, number: int, calls: int, chance: random.Random
) -> list[tuple[str, str]]:
    """Returns the way of each call, and what became of it."""
    tenant = f"race-{field}-{number}"
    values = itertools.islice(FIELDS[field][1](number, chance), calls)
    attempts = [
        Attempt(field, value, f"own-{order}@example.com") for order, value in enumerate(values)
    ]
    ways = [
        *WAYS.items(),
        *itertools.islice(itertools.cycle(FAST_WAYS.items()), _CLIENTS - len(WAYS)),
    ]

    def call(client: int) -> list[tuple[str, str]]:
        name, way = ways[client]
        with calling(place, tenant) as caller:
            # Connected before the race begins.
            caller.rest("GET", "/customers")
            return [(name, way(caller, it)) for it in attempts[client::_CLIENTS]]

    return [
        told for each in at_once([partial(call, it) for it in range(_CLIENTS)]) for told in each
    ]


def _outcome(answer: Answer) -> str:
    if answer.is_done:
        return _CREATED
    is_clash = answer.status in {"409", "ALREADY_EXISTS"}
    return _EXISTS if is_clash else f"{answer.status} {answer.value}"


def _error(code: int) -> str:
    return _EXISTS if code == _CODE else f"code {code}"


def _wrong(race: str, told: list[tuple[str, str]]) -> list[str]:
    outcomes = Counter(outcome for _, outcome in told)
    won = outcomes.pop(_CREATED, 0)
    outcomes.pop(_EXISTS)
    return [
        *([f"{race}: {won} calls succeeded"] if won != 1 else []),
        *(f"{race}: {count} times {outcome}" for outcome, count in outcomes.items()),
    ]


def _row(
    field: str, rounds: int, outcomes: Counter[str], winners: Counter[str], milliseconds: int
) -> list[object]:
    calls = outcomes.total()
    created, exists = outcomes[_CREATED], outcomes[_EXISTS]
    ways = ", ".join(f"{way} {count}" for way, count in winners.most_common())
    rate = round(calls * 1000 / max(1, milliseconds))
    return [FIELDS[field][0], rounds, calls, created, exists, calls - created - exists, ways, rate]
