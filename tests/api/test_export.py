"""ExportCustomers: all customers, or what changed, in parts, while others write."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from tests.support.builders import address, customer
from tests.support.client import Client, failure
from tests.support.concurrency import at_once
from tests.support.server_process import wait_until
from tests.support.tokens import trust
from twc_customer_server.app import App
from twc_customer_server.settings.model import Settings
from twc_customer_server.transport import incoming

Request = pb.ExportCustomersRequest
Part = pb.ExportCustomersResponse

MIB = 1 << 20


def fill(client: Client, count: int, **fields: Any) -> list[Customer]:
    """Stores customers."""
    results = client.upload([customer(**fields) for _ in range(count)])
    return [it.customer for it in results]


def customers(parts: Iterable[Part]) -> list[Customer]:
    """The customers of an export."""
    return [it for part in parts for it in part.customers]


def gone(parts: Iterable[Part]) -> list[str]:
    """The ids of the deleted customers of an export."""
    return [it.id for part in parts for it in part.tombstones]


def later(moment: Timestamp) -> Timestamp:
    """The next millisecond."""
    after = Timestamp()
    after.FromMilliseconds(moment.ToMilliseconds() + 1)
    return after


def test_export_without_customers(client: Client) -> None:
    """An export of no customers says from when on the next one is to go."""
    [part] = client.export()
    assert part.as_of.ToMilliseconds() > 0
    assert part == Part(
        resume_token=part.resume_token, as_of=part.as_of, next_cursor=part.next_cursor
    )
    assert part.next_cursor


def test_export_of_all_customers(client: Client, foreigner: Client) -> None:
    """An export has every customer of the tenant as it is now, once, and no other tenant's."""
    fill(foreigner, 3)
    stored = fill(client, 250)
    stored[0] = client.update(Customer(id=stored[0].id, first_name="Ada"))
    client.delete(stored.pop().id)
    parts = list(client.export())
    assert customers(parts) == stored
    assert gone(parts) == []
    assert len({it.as_of.ToMilliseconds() for it in parts}) == 1


def test_tombstones(client: Client) -> None:
    """With the deleted ones, an export tells which, and when, and nothing else of them."""
    stored = fill(client, 5, last_name="Secret")
    client.delete(stored[2].id)
    parts = list(client.export(Request(include_deleted=True)))
    assert customers(parts) == stored[:2] + stored[3:]
    [tombstone] = parts[0].tombstones
    assert tombstone.id == stored[2].id
    since = stored[4].last_modified_date.ToMilliseconds()
    assert since <= tombstone.delete_time.ToMilliseconds() <= since + 60_000


def test_export_since_a_time(client: Client) -> None:
    """An export since a time has what was created, changed or deleted at it or later."""
    old, changed, deleted = fill(client, 3)
    wait_until(lambda: client.create(customer()).created_date != old.created_date)
    marker = client.create(customer())
    before = marker.last_modified_date
    changed = client.add_address(changed.id, address())
    client.delete(deleted.id)
    for include_deleted, tombstones in ((False, []), (True, [deleted.id])):
        request = Request(modified_since=before, include_deleted=include_deleted)
        parts = list(client.export(request))
        found = customers(parts)
        assert [it for it in found if it.id in (old.id, deleted.id)] == []
        assert marker in found
        assert changed in found
        assert gone(parts) == tombstones
    request = Request(modified_since=later(changed.last_modified_date))
    assert changed not in customers(client.export(request))


def test_next_export_at_once(client: Client) -> None:
    """What as_of says is enough for the next export, though it comes at once."""
    fill(client, 3)
    [part] = client.export()
    stored = client.create(customer())
    found = customers(client.export(Request(modified_since=part.as_of)))
    assert stored in found
    assert len(found) == 4


def test_size_of_parts(client: Client) -> None:
    """Parts have a mebibyte at most, whatever is in them."""
    large = [customer(tax_exemptions=["x" * 1000] * 100) for _ in range(40)]
    stored = [it.customer for it in client.upload(large)] + fill(client, 120)
    parts = list(client.export())
    assert customers(parts) == stored
    assert max(it.ByteSize() for it in parts) < MIB + 1000
    assert 4 < len(parts) < 10


@pytest.mark.parametrize("since", [False, True])
def test_resume(client: Client, *, since: bool) -> None:
    """An export goes on after any of its parts, with the same as_of, and repeats nothing."""
    large = [customer(tax_exemptions=["x" * 1000] * 100) for _ in range(30)]
    deleted = [it.customer.id for it in client.upload(large)][::7]
    request = Request(include_deleted=True)
    if since:
        request.modified_since.FromMilliseconds(1)
    for it in deleted:
        client.delete(it)
    parts = list(client.export(request))
    assert sorted(gone(parts)) == deleted
    for number, part in enumerate(parts):
        request.resume_token = part.resume_token
        rest = list(client.export(request))
        assert customers(rest) == customers(parts[number + 1 :])
        assert gone(rest) == gone(parts[number + 1 :])
        assert {it.as_of.ToMilliseconds() for it in rest} == {part.as_of.ToMilliseconds()}


def test_resume_after_later_changes(client: Client) -> None:
    """An export that is resumed has nothing that came after its beginning."""
    fill(client, 3)
    [part] = client.export()
    moment = part.as_of.ToMilliseconds() + 60_000
    wait_until(lambda: client.create(customer()).created_date.ToMilliseconds() > moment)
    rest = customers(client.export(Request(resume_token=part.resume_token)))
    assert [it for it in rest if it.created_date.ToMilliseconds() > moment] == []


def test_token_of_another_request(client: Client, foreigner: Client) -> None:
    """A token is good for the same request of the same tenant alone."""
    fill(client, 1)
    [part] = client.export()
    token = part.resume_token
    exports = [
        foreigner.export(Request(resume_token=token)),
        client.export(Request(resume_token=token, include_deleted=True)),
        client.export(Request(resume_token=token, modified_since=part.as_of)),
        client.export(Request(resume_token=token[:-4])),
        client.export(Request(resume_token=f"{token}!")),
    ]
    for export in exports:
        refused = failure(partial(list, export))
        assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
        assert set(refused.fields) == {"resumeToken"}


class State:
    """What a client makes of exports: the customers that it has been told of."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.customers: dict[str, Customer] = {}
        self.counts: Counter[str] = Counter()
        self._as_of: Timestamp | None = None

    def update(self) -> None:
        """Takes what changed since the last time; breaks off at times, and goes on."""
        request = Request(include_deleted=True, modified_since=self._as_of)
        self.counts.clear()
        breaks = True
        while True:
            export: Any = self._client.export(request)
            for number, part in enumerate(export):
                self._take(part)
                request.resume_token = part.resume_token
                if breaks and number == 1:
                    export.cancel()
                    break
            else:
                return
            breaks = False

    def _take(self, part: Part) -> None:
        self._as_of = part.as_of
        self.customers.update({it.id: it for it in part.customers})
        for tombstone in part.tombstones:
            self.customers.pop(tombstone.id, None)
        self.counts.update(it.id for it in part.customers)
        self.counts.update(it.id for it in part.tombstones)


def test_export_during_writes(client: Client) -> None:
    """Who is there all the time is in an export once; the exports after it tell all changes."""
    stable = {it.id for it in fill(client, 400)}
    changing = [it.id for it in fill(client, 100)]
    done = threading.Event()
    state = State(client)

    def write(seed: int) -> None:
        dice = random.Random(seed)  # noqa: S311 - no secret
        mine = changing[seed::3]
        while not done.is_set():
            act, chosen = dice.randrange(4), dice.choice(mine)
            if act == 0:
                mine.append(client.create(customer()).id)
            elif act == 1:
                client.delete(chosen)
                mine.remove(chosen)
                mine.append(client.create(customer()).id)
            else:
                update = Customer(id=chosen, first_name=f"{dice.random()}")
                if client.get(chosen).id:
                    client.update(update)

    def read() -> None:
        try:
            state.update()
            assert max(state.counts.values()) == 1
            for _ in range(6):
                assert {state.counts[it] for it in stable} == {1}
                state.update()
        finally:
            done.set()

    acts: list[Callable[[], None]] = [read, *(partial(write, seed) for seed in range(3))]
    at_once(acts)
    state.update()
    final = {it.id: it for it in customers(client.export())}
    assert state.customers == final
    assert stable <= set(final)


def test_import_of_an_export(client: Client, foreigner: Client) -> None:
    """What is exported can be imported elsewhere, and is the same there."""
    fill(client, 150, first_name="Ada", addresses=[{"city": "Rom"}], accepts_marketing=True)
    moved = customers(client.export())
    items = [pb.ImportItem(customer=it) for it in moved]
    batches = [pb.ImportCustomersRequest(items=items)] * 2
    first, again = foreigner.import_(batches)
    assert {it.WhichOneof("outcome") for it in first.results} == {"created"}
    assert [it.unchanged for it in again.results] == [it.created for it in first.results]


@pytest.mark.parametrize("is_known", [True, False], ids=["known", "unknown"])
def test_stalled_client(
    own_database: dict[str, Any], monkeypatch: pytest.MonkeyPatch, *, is_known: bool
) -> None:
    """An export whose client reads nothing is cancelled, and its thread is free again.

    That is so with a version of grpcio that is not known as well.
    """
    monkeypatch.setattr(incoming, "IS_SUPPORTED", is_known)
    # As many as an export needs.
    threads = 2 if is_known else 1
    app = App(Settings(**own_database, threads=threads, **trust()), ["127.0.0.1:0"])
    app.start()
    try:
        # Takes little that nobody has asked for yet, however slow the machine is.
        options = [("grpc.http2.bdp_probe", 0)]
        with grpc.insecure_channel(f"127.0.0.1:{app.ports[0]}", options) as channel:
            client = Client(channel, "acme")
            large = [customer(tax_exemptions=["x" * 1000] * 100) for _ in range(100)]
            client.upload(large)
            monkeypatch.setattr("twc_customer_server.contract.STREAM_IDLE_SECONDS", 0.5)
            export: Any = client.export()
            next(export)
            wait_until(lambda: _is_taken(client))
            refused = failure(lambda: list(export))
    finally:
        app.stop()
    assert refused.code is grpc.StatusCode.CANCELLED


def _is_taken(client: Client) -> bool:
    """Tells whether the server takes an export again."""
    try:
        next(client.export())
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED  # noqa: PT017 - or it is there
        return False
    return True
