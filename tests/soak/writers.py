"""Clients that write all the time, and note what they are told."""

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from twc.customer.v2.customer_pb2 import Address, Customer

from tests.soak.ledger import Known, Ledger, State, state_in, state_of
from tests.soak.place import Answer, Caller, Headers, Place, calling
from tests.support.client import SECONDS
from tests.support.concurrency import in_background
from tests.support.import_stream import batch

Call = Callable[[Headers], Answer]

_MANY = 3
# Part of the requests that have an Idempotency-Key, and of those that are repeated though answered.
_KEYED, _REPEATED = 0.5, 0.1
# A client that was not answered tries again after this.
_PAUSE_SECONDS = 0.02
# Customers that a writer keeps to change: the others are deleted.
_KEPT = 50


class Writer:
    """One client: creates, changes and deletes customers of its own, one call after another."""

    def __init__(self, name: str, caller: Caller, seed: int) -> None:
        self.ledger = Ledger()
        # Set when nobody waits for its calls any more.
        self.abandoned = threading.Event()
        self.acknowledged_at: list[float] = []
        self._name = name
        self._caller = caller
        self._random = random.Random(seed)
        self._numbers = itertools.count()
        self._kept: list[Known] = []
        self._acts: list[Callable[[], None]] = [
            self._create,
            self._create,
            self._upload,
            self._import,
            self._update,
            self._update,
            self._add_address,
            self._delete,
        ]

    def write(self) -> None:
        """Makes a call."""
        if len(self._kept) > _KEPT:
            self._delete()
        else:
            self._random.choice(self._acts)()

    def _create(self) -> None:
        known = self.ledger.add(f"{self._next()}@example.com")
        new = State(first_name=self._next())
        request = {"email": known.email, "firstName": new.first_name}

        def by_rest(headers: Headers) -> Answer:
            return self._caller.rest("POST", "/customers", request, headers)

        def by_grpc(headers: Headers) -> Answer:
            message = Customer(email=known.email, first_name=new.first_name)
            return self._caller.native(lambda it: it.create(message), headers)

        answer = self._call("create", self._random.choice((by_rest, by_grpc)))
        self._created([(known, new)], answer, [_id_of(answer.value)] if answer.is_done else [])

    def _upload(self) -> None:
        made = self._several()
        request = [{"email": it.email, "firstName": new.first_name} for it, new in made]

        def upload(headers: Headers) -> Answer:
            return self._caller.rest("POST", "/upload-customers", request, headers)

        answer = self._call("upload", upload)
        results = answer.value if answer.is_done else []
        self._created(made, answer, [result.get("customer", {}).get("id") for result in results])

    def _import(self) -> None:
        made = self._several()
        items = batch(*(Customer(email=it.email, first_name=new.first_name) for it, new in made))

        def import_(_: Headers) -> Answer:
            return self._caller.native(lambda it: list(it.import_([items])))

        # What was stored is unchanged when it is sent again: an import needs no key.
        answer = self._persist("import", import_, {})
        results = answer.value[0].results if answer.is_done else []
        ids = [result.created or result.unchanged for result in results]
        self._created(made, answer, ids)

    def _update(self) -> None:
        if known := self._pick():
            new = known.state._replace(first_name=self._next())
            request = {"id": known.id, "firstName": new.first_name}

            def by_rest(headers: Headers) -> Answer:
                return self._caller.rest("PUT", "/customers", request, headers)

            def by_grpc(headers: Headers) -> Answer:
                message = Customer(id=known.id, first_name=new.first_name)
                return self._caller.native(lambda it: it.update(message), headers)

            self._changed(known, new, self._call("update", self._random.choice((by_rest, by_grpc))))

    def _add_address(self) -> None:
        if known := self._pick():
            city = self._next()
            new = known.state._replace(cities=(*known.state.cities, city))

            def by_rest(headers: Headers) -> Answer:
                path = f"/customers/{known.id}/address"
                return self._caller.rest("POST", path, {"city": city}, headers)

            def by_grpc(headers: Headers) -> Answer:
                address = Address(city=city)
                return self._caller.native(lambda it: it.add_address(known.id, address), headers)

            call = self._random.choice((by_rest, by_grpc))
            self._changed(known, new, self._call("add address", call))

    def _delete(self) -> None:
        if known := self._pick():
            path = f"/customers/{known.id}"
            answer = self._send("delete", lambda _: self._caller.rest("DELETE", path), {})
            if not answer.is_away:
                known.change(None, is_done=answer.is_done)
                self._kept.remove(known)

    def _several(self) -> list[tuple[Known, State]]:
        return [
            (self.ledger.add(f"{self._next()}@example.com"), State(self._next()))
            for _ in range(_MANY)
        ]

    def _created(self, made: list[tuple[Known, State]], answer: Answer, ids: list[str]) -> None:
        """Notes what became of customers that are new; their ids, in an answer of success."""
        if answer.is_away:
            return
        for known, new in made:
            known.change(new, is_done=answer.is_done)
        if not answer.is_done:
            return
        if len(ids) != len(made) or not all(ids):
            self.ledger.faults.append(f"{made[0][0].email} was there already: {answer}")
            return
        for (known, _), known.id in zip(made, ids, strict=True):
            self._kept.append(known)

    def _changed(self, known: Known, new: State, answer: Answer) -> None:
        if answer.is_away:
            return
        known.change(new, is_done=answer.is_done)
        if not answer.is_done:
            # Whether it was changed may turn out later: nobody touches it until then.
            self._kept.remove(known)
            return
        value = answer.value
        shown = state_in(value) if isinstance(value, dict) else state_of(value)
        if shown != new:
            self.ledger.faults.append(f"{known.email} was answered as {shown}, not {new}")

    def _call(self, kind: str, call: Call) -> Answer:
        """Makes a call with a key and repeats it until it is answered, or once without a key."""
        if self._random.random() > _KEYED:
            return self._send(kind, call, {})
        headers = {"idempotency-key": self._next()}
        answer = self._persist(f"{kind} with a key", call, headers)
        if self._random.random() < _REPEATED:
            again = self._persist(f"{kind} again", call, headers)
            if again.value != answer.value:
                self.ledger.faults.append(f"a repeat was answered with {again}, not {answer}")
        return answer

    def _persist(self, kind: str, call: Call, headers: Headers) -> Answer:
        """Repeats a call until it is answered."""
        end = time.monotonic() + SECONDS
        while True:
            answer = self._send(kind, call, headers)
            if not (answer.is_unknown or answer.is_away):
                return answer
            if time.monotonic() > end or self.abandoned.is_set():
                self.ledger.faults.append(f"{kind} was not answered in {SECONDS} s")
                return answer
            self.ledger.counts["repeated"] += 1

    def _send(self, kind: str, call: Call, headers: Headers) -> Answer:
        answer = call(headers)
        if answer.is_done:
            self.ledger.counts["acknowledged"] += 1
            self.acknowledged_at.append(time.monotonic())
        elif answer.is_unknown or answer.is_away:
            self.ledger.counts["unknown" if answer.is_unknown else "not made"] += 1
            time.sleep(_PAUSE_SECONDS)
        else:
            self.ledger.faults.append(f"{kind} was {answer}")
        return answer

    def _pick(self) -> Known | None:
        return self._random.choice(self._kept) if self._kept else None

    def _next(self) -> str:
        return f"{self._name}-{next(self._numbers)}"


class Crew:
    """Writers at work, each in a thread."""

    def __init__(self, writers: list[Writer], pause: float) -> None:
        self._writers = writers
        self._pause = pause
        self._done = threading.Event()
        self._working = in_background([partial(self._work, writer) for writer in writers])

    def _work(self, writer: Writer) -> None:
        while not self._done.wait(self._pause):
            writer.write()

    def acknowledged_since(self, moment: float) -> list[float]:
        """The times of the calls that were acknowledged after a time of the monotonic clock."""
        times = [it for writer in self._writers for it in list(writer.acknowledged_at)]
        return sorted(it for it in times if it > moment)

    def stop(self) -> list[Ledger]:
        """Has the writers end their calls, and returns their ledgers."""
        self._done.set()
        for work in self._working:
            work.result(2 * SECONDS)
        return [writer.ledger for writer in self._writers]


def _id_of(customer: Any) -> str:
    return str(customer["id"] if isinstance(customer, dict) else customer.id)


@contextmanager
def writing(place: Place, tenant: str, count: int, seed: int, pause: float = 0) -> Iterator[Crew]:
    """Has some clients of a tenant write until the block is over, with pauses between calls."""
    callers = [Caller(place, tenant) for _ in range(count)]
    writers = [Writer(f"{tenant}-{it}", callers[it], seed + it) for it in range(count)]
    crew = Crew(writers, pause)
    try:
        yield crew
    finally:
        for writer in writers:
            writer.abandoned.set()
        crew.stop()
        for caller in callers:
            caller.close()


def export(place: Place, tenant: str) -> list[Customer]:
    """Returns all customers of a tenant."""
    with calling(place, tenant) as caller:
        end = time.monotonic() + SECONDS
        while not (answer := caller.native(lambda it: list(it.export()))).is_done:
            if time.monotonic() > end:
                raise TimeoutError(f"the export was {answer}")
            time.sleep(_PAUSE_SECONDS)
        return [customer for part in answer.value for customer in part.customers]
