"""ImportCustomers: batches without an end, each stored before it is answered."""

from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from tests.api.samples import FULL, each_invalid
from tests.support.builders import UNKNOWN_ID, customer
from tests.support.client import SECONDS, SERVICE, Client, as_tenant, failure
from tests.support.import_stream import Batch, ImportStream, batch, outcomes
from tests.support.in_process import InProcessServer
from tests.support.servers import Server

CANCELLED = grpc.StatusCode.CANCELLED
INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture
def stream(client: Client) -> Iterator[ImportStream]:
    """An import of the test's tenant."""
    stream = ImportStream(client)
    yield stream
    stream.end()


def test_batches(client: Client) -> None:
    """Each batch is answered in order, item by item, with the ids of what is stored."""
    batches = [batch(*[customer() for _ in range(20)], first=20 * it) for it in range(5)]
    answers = list(client.import_(batches))
    assert [it.sequence for answer in answers for it in answer.results] == list(range(100))
    for sent, answer in zip(batches, answers, strict=True):
        assert outcomes(answer) == ["created"] * 20
        for item, result in zip(sent.items, answer.results, strict=True):
            assert client.get(result.created).email == item.customer.email


def test_empty_stream(client: Client) -> None:
    """A stream of no batch is answered with none."""
    assert list(client.import_([])) == []


def test_read_during_import(client: Client, stream: ImportStream) -> None:
    """What was answered can be read while the stream goes on."""
    for given in (Customer(id="mine", **FULL), customer(), customer()):
        [result] = stream.send(given).results
        assert client.get(result.created).id == result.created != given.id


def test_sequence(client: Client) -> None:
    """The client's numbers come back as they are, whatever they are."""
    numbers = [7, 7, -1, 2**63 - 1, -(2**63), 0]
    items = [pb.ImportItem(sequence=it, customer=customer()) for it in numbers]
    [answer] = client.import_([Batch(items=items)])
    assert [it.sequence for it in answer.results] == numbers


def test_item_errors(client: Client, foreigner: Client) -> None:
    """An item that cannot be stored has the error of CreateCustomer, and keeps no other out."""
    owner = client.create(customer(email="owner@example.com"))
    bad = customer(email="x", addresses=[{"country_code": "XX"}])
    [answer] = client.import_(
        [batch(customer(), bad, None, customer(email="OWNER@example.com"), Customer(), customer())]
    )
    assert outcomes(answer) == ["created", *["error"] * 4, "created"]
    errors = [it.error for it in answer.results[1:5]]
    assert [it.code for it in errors] == [3, 3, 6, 3]
    assert errors[0].message == failure(lambda: foreigner.create(bad)).message
    assert owner.id in errors[2].message


@each_invalid
def test_invalid_items(client: Client, fields: dict[str, Any], named: set[str]) -> None:
    """Every rule of a customer is one of an import."""
    [answer] = client.import_([batch(customer(**fields))])
    [result] = answer.results
    assert named
    assert all(field in str(result.error.details[1].value) for field in named)


def test_clash_in_batch(client: Client) -> None:
    """Of two in one batch that clash the first wins."""
    first, second = (customer(email="ada@example.com", first_name=it) for it in ("Ada", "Eve"))
    [answer] = client.import_([batch(first, second)])
    assert outcomes(answer) == ["created", "error"]
    assert answer.results[0].created in answer.results[1].error.message


def test_unchanged_customer(client: Client) -> None:
    """What is there with the same values is not stored again, in whatever batch it comes."""
    given = [Customer(**FULL), customer(), customer(accepts_marketing=True, phone="+493099999")]
    first, twice, again = client.import_([batch(*given), batch(given[1], given[1]), batch(*given)])
    ids = [it.created for it in first.results]
    before = [client.get(it) for it in ids]
    assert [it.unchanged for it in twice.results] == [ids[1]] * 2
    assert [it.unchanged for it in again.results] == ids
    [later] = client.import_([batch(*given)])
    assert [it.unchanged for it in later.results] == ids
    assert [client.get(it) for it in ids] == before


def test_customer_twice_in_batch(client: Client) -> None:
    """A customer twice in a batch is stored once."""
    same = customer()
    [answer] = client.import_([batch(same, same)])
    assert outcomes(answer) == ["created", "unchanged"]
    assert answer.results[1].unchanged == answer.results[0].created


@pytest.mark.parametrize(
    "change",
    [{"first_name": "Eve"}, {"active": True}, {"addresses": []}, {"attribute_groups": {}}],
    ids=str,
)
def test_changed_customer(client: Client, change: dict[str, Any]) -> None:
    """A customer that is there with other values is a clash, and stays as it is."""
    created = client.create(Customer(**FULL))
    [answer] = client.import_([batch(Customer(**FULL | change))])
    assert outcomes(answer) == ["error"]
    assert answer.results[0].error.code == 6
    assert client.get(created.id) == created


def test_deleted_customer(client: Client) -> None:
    """A customer who was deleted is no customer who is there."""
    created = client.create(Customer(**FULL))
    client.delete(created.id)
    [answer] = client.import_([batch(Customer(**FULL))])
    assert answer.results[0].created not in ("", created.id)


def test_foreign_customer(client: Client, foreigner: Client) -> None:
    """A customer of another tenant is not there."""
    foreigner.create(Customer(**FULL))
    [answer] = client.import_([batch(Customer(**FULL))])
    assert outcomes(answer) == ["created"]


def test_validate_only(client: Client) -> None:
    """A batch that is only checked is answered as it would be, and stores nothing."""
    taken = customer(email="taken@example.com")
    owner = client.create(taken)
    there = client.create(Customer(**FULL))
    checked = batch(
        customer(last_name="Check"), None, Customer(**FULL), customer(email=taken.email, dob="x")
    )
    checked.validate_only = True
    clash = batch(customer(email=taken.email, first_name="Eve"), check=True)
    first, second, third = client.import_([checked, clash, batch(customer(last_name="Check"))])
    assert outcomes(first) == ["valid", "error", "unchanged", "error"]
    assert first.results[2].unchanged == there.id
    assert owner.id in second.results[0].error.message
    found = client.lookup(pb.LookupCustomersRequest(last_name="Check"))
    assert [it.id for it in found] == [third.results[0].created]


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "INVALID_INPUT"),
    "many": (
        lambda: Batch(items=[pb.ImportItem()] * 1001).SerializeToString(),
        "REQUEST_TOO_LARGE",
    ),
    "large": (
        lambda: batch(customer(first_name="x" * (4 << 20))).SerializeToString(),
        "REQUEST_TOO_LARGE",
    ),
    "malformed": (lambda: b"\x0a\x02\x12", "MALFORMED_REQUEST"),
}


@pytest.mark.parametrize(("bad", "reason"), BAD.values(), ids=BAD)
def test_bad_batch(
    channel: grpc.Channel, client: Client, tenant: str, bad: Callable[[], bytes], reason: str
) -> None:
    """A batch that is none ends the stream; those before it stay, those after it are not read."""
    method = f"/{SERVICE.full_name}/ImportCustomers"
    call: grpc.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(method)
    given = [customer(last_name="Import"), customer(last_name="Import")]
    first, last = (batch(it).SerializeToString() for it in given)
    answers = call(iter([first, bad(), last]), SECONDS, as_tenant(tenant))
    stored = pb.ImportCustomersResponse.FromString(next(answers))
    refused = failure(lambda: next(answers))
    assert (refused.code, refused.reason) == (INVALID, reason)
    found = client.lookup(pb.LookupCustomersRequest(last_name="Import"))
    assert [it.id for it in found] == [it.created for it in stored.results]


def test_largest_batch(client: Client) -> None:
    """A batch of 1,000 is taken, whatever becomes of its customers."""
    faulty = customer(email="x", addresses=[{"country_code": "XX"}] * 100)
    batches = [[faulty] * 1000, [customer(email=f"{it}@example.com") for it in range(1000)]]
    answers = list(client.import_([batch(*batches[0]), batch(*batches[1]), batch(*batches[1])]))
    assert [set(outcomes(it)) for it in answers] == [{"error"}, {"created"}, {"unchanged"}]


@pytest.mark.parametrize("how", ["cancel", "disconnect"])
def test_broken_off_stream(server: InProcessServer, client: Client, tenant: str, how: str) -> None:
    """A stream that breaks off keeps what was answered; to send it again changes nothing."""
    given = [customer(last_name="Import") for _ in range(3)]
    with grpc.insecure_channel(server.address) as channel:
        stream = ImportStream(Client(channel, tenant))
        ids = [stream.send(it).results[0].created for it in given]
        if how == "cancel":
            stream.call.cancel()
    stream.end()
    with pytest.raises(grpc.RpcError):
        next(stream.call)
    found = client.lookup(pb.LookupCustomersRequest(last_name="Import"))
    assert [it.id for it in found] == ids
    [again] = client.import_([batch(*given)])
    assert [it.unchanged for it in again.results] == ids


def test_idle_stream(client: Client, stream: ImportStream, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream in which nothing comes is cancelled; what was answered stays."""
    monkeypatch.setattr("twc_customer_server.contract.STREAM_IDLE_SECONDS", 0.5)
    [result] = stream.send(customer()).results
    with pytest.raises(grpc.RpcError) as ended:
        next(stream.call)
    assert ended.value.code() is CANCELLED
    assert client.get(result.created).id == result.created


def test_too_many_streams(own_database: dict[str, Any]) -> None:
    """Imports and exports take half of the threads at most, and give them back."""
    with Server(**own_database, threads=2) as server:
        client = server.client("acme")
        stream = ImportStream(client)
        stream.send(customer())
        refused = [
            failure(lambda: list(client.import_([batch(customer())]))),
            failure(lambda: list(client.export())),
            failure(lambda: client.upload([customer()])),
        ]
        assert client.get(UNKNOWN_ID) == Customer()
        stream.send(customer())
        stream.end()
        assert list(stream.call) == []
        [part] = client.export()
        assert len(part.customers) == 2
    assert {it.code for it in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert {it.reason for it in refused} == {"RATE_LIMITED"}
