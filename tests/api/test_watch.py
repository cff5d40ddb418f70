"""ListCustomerChanges and WatchCustomers: what has changed, page by page and as it happens."""

import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import grpc
import pytest
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer
from twc.customer.v2.customer_service_pb2_grpc import CustomerServiceStub

from tests.support.backends import any_backend
from tests.support.builders import UNKNOWN_ID, customer
from tests.support.client import SECONDS, Client, as_tenant, failure
from tests.support.server_process import ServerProcess, Start, wait_until
from tests.support.servers import Server
from twc_customer_server.contract import MAX_WAIT_SECONDS

Change = pb.CustomerChange
CREATED, UPDATED, DELETED = Change.CREATED, Change.UPDATED, Change.DELETED


def shown(page: Any) -> list[tuple[int, str]]:
    """The kinds of a page's changes, each with the customer's id."""
    return [(it.kind, it.customer.id or it.tombstone.id) for it in page.changes]


def apply(customers: dict[str, Customer], page: Any) -> None:
    """Makes the changes of a page in a copy of customers."""
    for change in page.changes:
        if change.kind == DELETED:
            customers.pop(change.tombstone.id, None)
        else:
            customers[change.customer.id] = change.customer


def exported(client: Client) -> dict[str, Customer]:
    """The customers that there are, by id."""
    return {it.id: it for part in client.export() for it in part.customers}


def test_page_of_changes(client: Client, foreigner: Client) -> None:
    """A page has what was created, changed and deleted after the cursor of the page before."""
    foreigner.create(customer())
    kept, changed, deleted = (client.create(customer()) for _ in range(3))
    page = client.changes()
    assert sorted(shown(page)) == sorted((CREATED, it.id) for it in (kept, changed, deleted))
    assert {it.customer.id: it.customer for it in page.changes}[kept.id] == kept

    changed = client.update(Customer(id=changed.id, first_name="Ada"))
    client.delete(deleted.id)
    new = client.create(customer())
    page = client.changes(cursor=page.next_cursor)
    expected = [(UPDATED, changed.id), (DELETED, deleted.id), (CREATED, new.id)]
    assert sorted(shown(page)) == sorted(expected)
    by_kind = {it.kind: it for it in page.changes}
    assert by_kind[UPDATED].customer == changed
    assert by_kind[DELETED] == Change(kind=DELETED, tombstone=by_kind[DELETED].tombstone)
    assert by_kind[DELETED].tombstone.delete_time.ToMilliseconds() > 0

    last = client.changes(cursor=page.next_cursor)
    assert (shown(last), last.next_cursor) == ([], page.next_cursor)


def test_size_of_pages(client: Client) -> None:
    """Pages have as many changes as asked, fewer if they are large, and all of them once."""
    large = [customer(tax_exemptions=["x" * 1000] * 100) for _ in range(25)]
    stored = {it.customer.id for it in client.upload([*large, *(customer() for _ in range(160))])}
    sizes, found, cursor = list[int](), list[str](), client.changes(page_size=1).next_cursor
    found += [it.customer.id for it in client.changes(page_size=1).changes]
    while (page := client.changes(cursor=cursor, page_size=1000)).changes:
        sizes.append(page.ByteSize())
        found += [it.customer.id for it in page.changes]
        cursor = page.next_cursor
    assert sorted(found) == sorted(stored)
    assert len(sizes) > 2
    assert max(sizes) < (1 << 20) + 1000
    assert len(client.changes().changes) <= 100


def test_changes_from_now(client: Client) -> None:
    """Changes from now on are none that were before."""
    client.create(customer())
    page = client.changes(from_now=True)
    assert shown(page) == []
    new = client.create(customer())
    assert shown(client.changes(cursor=page.next_cursor)) == [(CREATED, new.id)]


def test_cursor_of_an_export(client: Client) -> None:
    """The changes after an export follow its cursor, and so does the next export."""
    client.create(customer())
    [part] = client.export()
    new = client.create(customer())
    assert shown(client.changes(cursor=part.next_cursor)) == [(CREATED, new.id)]
    [after] = client.export(pb.ExportCustomersRequest(cursor=part.next_cursor))
    assert [it.id for it in after.customers] == [new.id]
    [rest] = client.export(pb.ExportCustomersRequest(cursor=after.next_cursor))
    assert not rest.customers


@pytest.mark.parametrize("seconds", [-90, 90])
def test_clock_of_another_server(
    client: Client, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    """What a server with another clock stores is in the next export after a cursor."""
    client.create(customer())
    [part] = client.export()
    page = client.changes(from_now=True)
    shift = timedelta(seconds=seconds)
    monkeypatch.setattr("twc_customer_server.api.servicer._now", lambda: datetime.now(UTC) + shift)
    new = client.create(customer())
    monkeypatch.undo()
    [after] = client.export(pb.ExportCustomersRequest(cursor=part.next_cursor))
    assert [it.id for it in after.customers] == [new.id]
    assert shown(client.changes(cursor=page.next_cursor)) == [(CREATED, new.id)]
    everything = [it.id for part in client.export() for it in part.customers]
    assert new.id in everything


@pytest.mark.parametrize(
    ("fields", "bad"),
    [
        ({"cursor": "x"}, {"cursor"}),
        ({"cursor": ""}, {"cursor"}),
        ({"page_size": -1}, {"pageSize"}),
        ({"wait_seconds": -1, "page_size": -1}, {"pageSize", "waitSeconds"}),
    ],
)
def test_bad_page(client: Client, fields: dict[str, Any], bad: set[str]) -> None:
    """What is no cursor or number is refused by its name."""
    refused = failure(lambda: client.changes(**fields))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert set(refused.fields) == bad


def test_cursor_of_another_tenant(client: Client, foreigner: Client) -> None:
    """A cursor of another tenant is refused, and so is one beside a beginning from now."""
    cursor = foreigner.changes().next_cursor
    assert set(failure(lambda: client.changes(cursor=cursor)).fields) == {"cursor"}
    both = failure(lambda: foreigner.changes(cursor=cursor, from_now=True))
    assert set(both.fields) == {"fromNow"}


def test_cursor_of_another_database(
    client: Client, tenant: str, own_database: dict[str, Any]
) -> None:
    """A cursor that another database has made is expired, for every call that takes one."""
    cursor = client.changes().next_cursor
    with Server(**own_database) as server:
        other = server.client(tenant)
        calls = [
            lambda: other.changes(cursor=cursor),
            lambda: list(other.watch(cursor=cursor)),
            lambda: list(other.export(pb.ExportCustomersRequest(cursor=cursor))),
        ]
        refusals = [failure(call) for call in calls]
    assert {(it.code, it.reason) for it in refusals} == {
        (grpc.StatusCode.FAILED_PRECONDITION, "CURSOR_EXPIRED")
    }


def test_wait_for_a_change(client: Client) -> None:
    """A page that waits comes with the first change, soon after it."""
    cursor = client.changes(from_now=True).next_cursor
    created: list[tuple[str, float]] = []

    def create() -> None:
        created.append((client.create(customer()).id, time.monotonic()))

    timer = threading.Timer(0.3, create)
    timer.start()
    page = client.changes(cursor=cursor, wait_seconds=30)
    came = time.monotonic()
    timer.join()
    [(customer_id, stored)] = created
    assert shown(page) == [(CREATED, customer_id)]
    assert came - stored < SECONDS / 4


def test_wait_for_nothing(client: Client) -> None:
    """A page without changes comes when its time is over."""
    cursor = client.changes(from_now=True).next_cursor
    started = time.monotonic()
    assert shown(client.changes(cursor=cursor, wait_seconds=1)) == []
    assert time.monotonic() - started >= 1


def test_watch(client: Client, foreigner: Client) -> None:
    """A stream has what there is, then each change as it comes, and no other tenant's."""
    first = client.create(customer())
    stream = client.watch()
    assert shown(next(stream)) == [(CREATED, first.id)]
    foreigner.create(customer())
    second = client.create(customer())
    page = next(stream)
    assert shown(page) == [(CREATED, second.id)]
    client.delete(first.id)
    assert shown(next(stream)) == [(DELETED, first.id)]
    stream.cancel()

    resumed = client.watch(cursor=page.next_cursor)
    assert shown(next(resumed)) == [(DELETED, first.id)]
    resumed.cancel()


def test_heartbeat(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nothing changes a stream says so, with a cursor to go on from."""
    monkeypatch.setattr("twc_customer_server.api.changes._HEARTBEAT_SECONDS", 0.1)
    stream = client.watch(from_now=True)
    first, second = next(stream), next(stream)
    assert shown(first) == shown(second) == []
    assert first.next_cursor == second.next_cursor
    stream.cancel()
    new = client.create(customer())
    assert shown(client.changes(cursor=second.next_cursor)) == [(CREATED, new.id)]


@any_backend
def test_limit_of_waiting_calls(
    own_database: dict[str, Any],
) -> None:
    """A tenant's calls that wait leave threads for all others, and those beyond are refused."""
    limits: dict[str, Any] = {"threads": 1, "tenant_waiting_rpcs": 2, "max_waiting_rpcs": 3}
    with Server(**own_database, **limits) as server:
        client, other = server.client("acme"), server.client("other")
        client.create(customer())
        streams = [client.watch() for _ in range(2)]
        assert all(next(stream).changes for stream in streams)
        refused = failure(client.changes)
        assert "calls that wait for changes" in refused.message
        assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert client.create(customer()).id
        assert shown(other.changes()) == []
        for stream in streams:
            stream.cancel()
        wait_until(lambda: _is_taken(client))


@any_backend
def test_cancelled_wait(own_database: dict[str, Any]) -> None:
    """A call that waits for changes ends when its client cancels it, and frees its place."""
    with Server(**own_database, tenant_waiting_rpcs=1) as server:
        client, stub = server.client("acme"), CustomerServiceStub(server.channel)
        # From here on the token is known, and calls are admitted as they come.
        assert client.get(UNKNOWN_ID) == Customer()
        request = pb.ListCustomerChangesRequest(from_now=True, wait_seconds=MAX_WAIT_SECONDS)
        waiting = stub.ListCustomerChanges.future(request, SECONDS, as_tenant("acme"))
        assert failure(client.changes).code is grpc.StatusCode.RESOURCE_EXHAUSTED
        waiting.cancel()
        began = time.monotonic()
        wait_until(lambda: _is_taken(client))
        assert time.monotonic() - began < MAX_WAIT_SECONDS / 2


def _is_taken(client: Client) -> bool:
    with suppress(grpc.RpcError):
        client.changes()
        return True
    return False


@any_backend
def test_stop_of_server(start: Start) -> None:
    """A server that stops ends its streams at once, with an error to go on after."""
    server = start()
    client = server.client("acme")
    stream = client.watch(from_now=True)
    waiting = client.watch()
    assert client.create(customer()).id
    assert next(waiting).changes
    assert server.stop() == 0
    refusals = [failure(partial(list, it)) for it in (stream, waiting)]
    assert {it.code for it in refusals} == {grpc.StatusCode.UNAVAILABLE}
    assert {it.reason for it in refusals} == {"SERVICE_UNAVAILABLE"}


def follow(client: Client, customers: dict[str, Customer], done: threading.Event) -> None:
    """Keeps a copy of customers by their changes, whatever fails, until there are no more."""
    cursor: str | None = None
    while True:
        is_last = done.is_set()
        with suppress(grpc.RpcError):
            page = client.changes(cursor=cursor, wait_seconds=0 if is_last else 1, page_size=7)
            apply(customers, page)
            cursor = page.next_cursor
            if is_last and not page.changes:
                return


def _write(client: Client) -> None:
    """Creates, changes and deletes customers, of which calls may fail."""
    for number in range(40):
        with suppress(grpc.RpcError):
            created = client.create(customer())
            client.update(Customer(id=created.id, first_name=str(number)))
            if number % 3 == 0:
                client.delete(created.id)
        time.sleep(0.02)


def test_killed_server(start: Start) -> None:
    """Whoever follows the changes has in the end what is stored, though servers are killed."""
    servers: list[ServerProcess] = [start(), start()]
    stored: dict[str, Customer] = {}
    done = threading.Event()
    follower = threading.Thread(
        target=follow, args=(servers[1].client("acme"), stored, done), daemon=True
    )
    follower.start()
    writers = [
        threading.Thread(target=_write, args=(it.client("acme"),)) for it in (*servers, servers[1])
    ]
    for writer in writers:
        writer.start()
    time.sleep(0.3)
    servers[0].process.kill()
    for writer in writers:
        writer.join(SECONDS)
    done.set()
    follower.join(SECONDS)
    assert stored == exported(servers[1].client("acme"))
    assert stored
