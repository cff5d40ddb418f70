"""Idempotency-Key: a request that is repeated is answered as it was, and done once."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from tests.support.backends import Backend, any_backend, only
from tests.support.builders import UNKNOWN_ID, address, customer
from tests.support.client import Client, failure
from tests.support.concurrency import at_once
from tests.support.in_process import InProcessServer
from tests.support.server_process import Start
from tests.support.servers import Server

Act = Callable[[Client, Customer], Any]

EVE = customer(email="eve@example.com", first_name="Eve")
UPLOAD = [customer(email="one@example.com"), None, customer(email="two@example.com")]
BY_NAME = pb.LookupCustomersRequest(first_name="Eve")

# Requests about a customer that has the reference A-1, each of another RPC or content.
ACTS: dict[str, Act] = {
    "create": lambda client, _: client.create(EVE),
    "create other": lambda client, _: client.create(Customer(email="bob@example.com")),
    "upload": lambda client, _: client.upload(UPLOAD),
    "upload less": lambda client, _: client.upload(UPLOAD[:2]),
    "upload all": lambda client, _: client.upload(UPLOAD[:1], atomic=True),
    "update": lambda client, it: client.update(Customer(id=it.id, first_name="Eve")),
    "update by ref": lambda client, _: client.update(
        Customer(customer_ref="A-1", first_name="Eve")
    ),
    "update other": lambda client, it: client.update(Customer(id=it.id), "first_name"),
    "add address": lambda client, it: client.add_address(it.id, address()),
    "add other": lambda client, it: client.add_address(it.id, address(city="Rom")),
    "delete": lambda client, it: client.delete(it.id),
    "delete by ref": lambda client, _: client.delete_by_ref("A-1"),
}
each_act = pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)


def create(client: Client) -> Customer:
    """Stores the customer that the requests are about."""
    return client.create(customer(customer_ref="A-1"))


def everyone(client: Client) -> list[Message]:
    """All customers of the tenant."""
    return [it for part in client.export() for it in part.customers]


@each_act
def test_repeat(client: Client, act: Act) -> None:
    """A repeat has the answer, status and tag of the first, and changes nothing."""
    created = create(client)
    keyed = client.given(idempotency_key="key")
    first, headers = act(keyed, created), keyed.headers
    stored = everyone(client)
    for _ in range(3):
        assert act(keyed, created) == first
        assert keyed.headers == headers
    assert everyone(client) == stored


@each_act
def test_repeat_after_changes(client: Client, act: Act) -> None:
    """A repeat is answered as it was even when the customer is another by now, or gone."""
    created = create(client)
    keyed = client.given(idempotency_key="key")
    first, headers = act(keyed, created), keyed.headers
    client.delete(created.id)
    stored = everyone(client)
    assert act(keyed, created) == first
    assert keyed.headers == headers
    assert everyone(client) == stored


def test_repeat_of_condition(client: Client) -> None:
    """A repeat of a change on condition is answered, though its condition holds no more."""
    created = create(client)
    keyed = client.given(idempotency_key="key", if_match=client.etag)
    updated = keyed.update(Customer(id=created.id, first_name="Eve"))
    assert keyed.update(Customer(id=created.id, first_name="Eve")) == updated


@each_act
def test_key_of_another_request(client: Client, act: Act) -> None:
    """A key that belongs to another request is refused, and nothing is done."""
    created = create(client)
    keyed = client.given(idempotency_key="key")
    first = act(keyed, created)
    stored = everyone(client)
    for name, other in ACTS.items():
        if other is not act:
            refused = failure(partial(other, keyed, created))
            assert refused.code is grpc.StatusCode.INVALID_ARGUMENT, name
            assert (refused.reason, refused.domain) == ("IDEMPOTENCY_KEY_REUSED", "customer.twc")
    assert everyone(client) == stored
    assert act(keyed, created) == first


def test_other_key(client: Client) -> None:
    """With another key the same request is another one."""
    created = create(client)
    for number in range(3):
        client.given(idempotency_key=f"key-{number}").add_address(created.id, address())
    assert len(client.get(created.id).addresses) == 3


def test_key_of_another_tenant(client: Client, foreigner: Client) -> None:
    """Another tenant's key is no different from one that was never used."""
    mine = client.given(idempotency_key="key").create(EVE)
    theirs = foreigner.given(idempotency_key="key").create(EVE)
    assert theirs.id != mine.id
    assert foreigner.given(idempotency_key="key").create(EVE) == theirs
    other = client.given(idempotency_key="mine").create(customer())
    assert foreigner.given(idempotency_key="mine").create(customer()) != other


@any_backend
@pytest.mark.parametrize("key", ["", "a" * 256, "a b"])
@each_act
def test_bad_key(client: Client, act: Act, key: str) -> None:
    """A key that is none is refused, and nothing is done."""
    created = create(client)
    refused = failure(lambda: act(client.given(idempotency_key=key), created))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert set(refused.fields) == {"Idempotency-Key"}
    assert everyone(client) == [created]


def test_two_keys(client: Client) -> None:
    """A request has one key."""
    keyed = client.given(idempotency_key="one").given(idempotency_key="two")
    assert set(failure(lambda: keyed.create(EVE)).fields) == {"Idempotency-Key"}


def test_longest_key(client: Client) -> None:
    """A key may have 255 characters."""
    keyed = client.given(idempotency_key="~" * 255)
    assert keyed.create(EVE) == keyed.create(EVE)


# What fails at first, and what makes it succeed.
FAILING: dict[str, tuple[Act, Act]] = {
    "create": (
        lambda client, _: client.create(customer(email="x@example.com", customer_ref="A-1")),
        lambda client, it: client.delete(it.id),
    ),
    "upload": (
        lambda client, _: client.upload(
            [Customer(email="a@example.com"), Customer(email="b@example.com", customer_ref="A-1")],
            atomic=True,
        ),
        lambda client, it: client.delete(it.id),
    ),
    "update": (
        lambda client, it: client.update(Customer(id=it.id, email="taken@example.com")),
        lambda client, _: client.delete_by_ref("taken"),
    ),
    "update missing": (
        lambda client, _: client.update(Customer(customer_ref="B-1", first_name="Eve")),
        lambda client, _: client.create(customer(customer_ref="B-1")),
    ),
    "add address": (
        lambda client, it: client.add_address(it.id, address(city="Rom")),
        lambda client, it: client.update(Customer(id=it.id), "addresses"),
    ),
}


@pytest.mark.parametrize(("act", "mend"), FAILING.values(), ids=FAILING)
def test_repeat_of_failure(client: Client, act: Act, mend: Act) -> None:
    """A request that fails leaves nothing behind: repeated when it can be done, it is."""
    created = client.create(
        customer(customer_ref="A-1", addresses=[{"city": str(number)} for number in range(100)])
    )
    client.create(customer(email="taken@example.com", customer_ref="taken"))
    keyed = client.given(idempotency_key="key")
    stored = everyone(client)
    reasons = {failure(lambda: act(keyed, created)).reason for _ in range(2)}
    assert len(reasons) == 1
    assert everyone(client) == stored
    # Nor does the key belong to what failed.
    mend(client, created)
    first = act(keyed, created)
    stored = everyone(client)
    assert act(keyed, created) == first
    assert everyone(client) == stored


def test_1000_repeats_at_once(server: InProcessServer, client: Client, tenant: str) -> None:
    """A thousand repeats at once are one request, and have one answer."""
    created = create(client)
    with grpc.insecure_channel(server.address) as channel:
        keyed = [
            Client(channel, tenant, (("idempotency-key", f"key-{number % 2}"),))
            for number in range(1000)
        ]

        def act(number: int) -> tuple[bytes, str, str]:
            mine = keyed[number]
            answer = (
                mine.create(EVE) if number % 2 else mine.add_address(created.id, address(city="R"))
            )
            return answer.SerializeToString(), mine.etag, str(mine.headers.get("x-http-code"))

        answers = [
            answer
            for start in range(0, 1000, 100)
            for answer in at_once([partial(act, number) for number in range(start, start + 100)])
        ]
    assert len(set(answers)) == 2
    assert len(set(answers[::2])) == 1
    assert len(client.get(created.id).addresses) == 1
    assert len(client.lookup(BY_NAME)) == 1


def test_uploads_at_once(client: Client) -> None:
    """Repeats of an upload wait for the first, and none of them clashes with it."""
    given = [Customer(email=f"rush-{number}@example.com") for number in range(500)]
    keyed = [client.given(idempotency_key="key") for _ in range(6)]
    first, *others = at_once([partial(it.upload, given) for it in keyed])
    assert all(it.HasField("customer") for it in first)
    assert others == [first] * 5


@any_backend
def test_10000_customers(client: Client) -> None:
    """An upload of 10,000 items is taken, and its outcome is kept as well."""
    keyed = client.given(idempotency_key="key")
    given = [Customer(email=f"many-{number}@example.com") for number in range(10_000)]
    results = keyed.upload(given)
    assert [it.customer.email for it in results] == [it.email for it in given]
    assert keyed.upload(given) == results
    assert keyed.headers["x-http-code"] == "201"


def test_exhausted_quota(own_database: dict[str, Any]) -> None:
    """When no more may be kept for a tenant, its new keys are refused, and nothing else is."""
    with Server(**own_database, idempotency_quota_bytes=1000) as server:
        client = server.client("acme")
        keyed = [client.given(idempotency_key=f"key-{number}") for number in range(4)]
        created = [
            it.create(customer(email=f"{number}@example.com"))
            for number, it in enumerate(keyed[:3])
        ]
        refused = failure(lambda: keyed[3].upload([EVE], atomic=True))
        assert (refused.code, refused.reason) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "RATE_LIMITED",
        )
        assert "the 1,000 bytes they may (IDEMPOTENCY_QUOTA_BYTES)" in refused.message
        assert refused.retry == pytest.approx(24 * 60 * 60, abs=600)
        assert client.lookup(BY_NAME) == []
        assert keyed[0].create(customer(email="0@example.com")) == created[0]
        assert failure(lambda: keyed[0].create(EVE)).reason == "IDEMPOTENCY_KEY_REUSED"
        assert client.create(EVE).email == EVE.email
        assert server.client("globex").given(idempotency_key="key-3").create(EVE).email == EVE.email


def test_two_processes(start: Start, own_database: dict[str, Any]) -> None:
    """A repeat may come to another server of the database, at once or after a restart."""
    servers = [start() for _ in range(2)]
    clients = [server.client("acme").given(idempotency_key="key") for server in servers]
    answers = at_once([partial(clients[number % 2].create, EVE) for number in range(20)])
    assert len({it.SerializeToString() for it in answers}) == 1
    for server in servers:
        server.process.kill()
        server.process.wait()
    with Server(**own_database) as restarted:
        later = restarted.client("acme")
        assert later.given(idempotency_key="key").create(EVE) == answers[0]
        assert later.lookup(BY_NAME) == answers[:1]


@pytest.mark.parametrize(("hours", "done"), [(23.99, 1), (24, 2), (48, 2)])
def test_lifetime(client: Client, monkeypatch: pytest.MonkeyPatch, hours: float, done: int) -> None:
    """After 24 hours a request is a new one, also if it is another; before it is a repeat."""
    created = create(client)
    keyed = client.given(idempotency_key="key")
    moment = datetime.now(UTC)
    monkeypatch.setattr("twc_customer_server.api.idempotency._now", lambda: moment)
    keyed.add_address(created.id, address())
    monkeypatch.setattr(
        "twc_customer_server.api.idempotency._now", lambda: moment + timedelta(hours=hours)
    )
    at_once([partial(keyed.add_address, created.id, address()) for _ in range(16)])
    assert len(client.get(created.id).addresses) == done


@only("postgresql")
def test_held_database(own_database: dict[str, Any], backend: Backend) -> None:
    """A request that comes while nothing can be written is told to come again, and then done."""
    with Server(**own_database, database_timeout_seconds=1) as server:
        keyed = server.client("acme").given(idempotency_key="key")
        with backend.held(own_database):
            refused = failure(lambda: keyed.create(EVE))
        created = keyed.create(EVE)
        assert keyed.create(EVE) == created
        assert keyed.get(UNKNOWN_ID) == Customer()
    assert (refused.code, refused.retry) == (grpc.StatusCode.UNAVAILABLE, 1)
