"""Many calls at once: none is lost, and no two win what only one may."""

import queue
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import grpc
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer
from twc.customer.v2.customer_service_pb2_grpc import CustomerServiceStub

from tests.support.builders import UNKNOWN_ID, address, customer
from tests.support.client import SECONDS, Client, Failure, as_tenant, failure, read_failure
from tests.support.concurrency import at_once
from tests.support.servers import Server

CHANGES: list[dict[str, Any]] = [
    {"customer_ref": "A-1"},
    {"first_name": "Ada"},
    {"last_name": "Lovelace"},
    {"mobile": "+491701234567"},
    {"phone": "+493012345678"},
    {"dob": "2001-05-28"},
    {"tax_exempt": True},
    {"verified_email": True},
]


def test_updates_at_once(client: Client) -> None:
    """Of 32 changes of one customer at once, of addresses and of other fields, none is lost."""
    created = client.create(customer())
    cities = {f"City {number}" for number in range(24)}
    acts = [
        *(partial(client.add_address, created.id, address(city=city)) for city in cities),
        *(partial(client.update, Customer(id=created.id, **change)) for change in CHANGES),
    ]
    at_once(acts)
    changed = client.get(created.id)
    assert {it.city for it in changed.addresses} == cities
    assert len({it.id for it in changed.addresses}) == len(cities)
    for change in CHANGES:
        for field, value in change.items():
            assert getattr(changed, field) == value


def test_create_same_at_once(client: Client) -> None:
    """Of 32 customers created at once with one e-mail address, one is; the others learn its id."""

    def create(number: int) -> str:
        email = "rush@example.com" if number % 2 else "RUSH@example.com"
        try:
            return client.create(Customer(email=email)).id
        except grpc.RpcError as error:
            refused.append(read_failure(error))
            return ""

    refused: list[Failure] = []
    ids = at_once([partial(create, number) for number in range(32)])
    [winner] = [it for it in ids if it]
    assert [it.owners for it in refused] == [{"email": winner}] * 31
    found = client.lookup(pb.LookupCustomersRequest(email="rush@example.com"))
    assert [it.id for it in found] == [winner]


def test_uploads_at_once(client: Client) -> None:
    """Of uploads of one list at once, each of its customers is stored by one of them."""
    given = [Customer(email=f"rush-{number}@example.com") for number in range(50)]
    uploads = at_once([partial(client.upload, given)] * 8)
    for results in zip(*uploads, strict=True):
        [stored] = [it.customer for it in results if it.HasField("customer")]
        assert client.get(stored.id) == stored


def test_delete_and_create_at_once(client: Client) -> None:
    """While a customer is replaced again and again, a lookup never finds two of it."""
    wanted = Customer(email="ada@example.com", customer_ref="A-1")
    done = threading.Event()

    def replace() -> set[int]:
        for _ in range(30):
            client.create(wanted)
            client.delete_by_ref("A-1")
        done.set()
        return set()

    def read() -> set[int]:
        counts = set()
        while not done.is_set():
            request = pb.LookupCustomersRequest(email="ada@example.com")
            counts.add(len(client.lookup(request)))
        return counts

    seen = set[int]().union(*at_once([replace, read, read]))
    assert seen <= {0, 1}


def test_too_many_calls_at_once(own_database: dict[str, Any]) -> None:
    """A call beyond what the server may run or keep waiting is refused at once."""
    sent, over = threading.Event(), threading.Event()

    def items() -> Iterator[pb.UploadCustomersRequest]:
        yield pb.UploadCustomersRequest(customer=customer())
        sent.set()
        over.wait(SECONDS)

    with Server(**own_database, threads=1, max_concurrent_rpcs=1) as server:
        try:
            stub = CustomerServiceStub(server.channel)
            running = stub.UploadCustomers(items(), SECONDS, as_tenant("acme"))
            assert sent.wait(SECONDS)
            refused = failure(lambda: server.client("acme").get(UNKNOWN_ID))
        finally:
            over.set()
        results = list(running)
    assert [it.HasField("customer") for it in results] == [True]
    assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_too_many_streams(own_database: dict[str, Any]) -> None:
    """Clients that stream cannot take every thread: other calls are served beside them."""
    over = threading.Event()

    def items() -> Iterator[pb.UploadCustomersRequest]:
        yield pb.UploadCustomersRequest(customer=customer())
        over.wait(SECONDS)

    with Server(**own_database, threads=2) as server:
        try:
            stub = CustomerServiceStub(server.channel)
            streams: list[Any] = [
                stub.UploadCustomers(items(), SECONDS, as_tenant("acme")) for _ in range(2)
            ]
            ends: queue.SimpleQueue[Any] = queue.SimpleQueue()
            for stream in streams:
                stream.add_done_callback(ends.put)
            ended = ends.get(timeout=SECONDS)
            refused = failure(lambda: list(ended))
            assert server.client("acme").get(UNKNOWN_ID) == Customer()
        finally:
            over.set()
        results = [list(stream) for stream in streams if stream is not ended]
    assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (refused.reason, refused.domain) == ("RATE_LIMITED", "customer.twc")
    assert [it.HasField("customer") for [it] in results] == [True]
