"""A tenant with a good token that takes more than its share."""

import json
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Address, Customer
from twc.customer.v2.customer_service_pb2_grpc import CustomerServiceStub

from tests.security.attacker import SERVICE, Attacker, Stream
from tests.security.attacks.bodies import UPLOAD
from tests.security.attacks.registry import OWNER, attack
from tests.security.attacks.uploads import UPLOAD_SECONDS, good_items
from tests.security.outcomes import OPEN
from tests.support.builders import NO_CUSTOMER, UNKNOWN_ID
from tests.support.http2_frames import INITIAL_WINDOW_SIZE, message

_CONNECTIONS = 64
_HUNDRED = 100
# Between connections that are held: the attacker is not to be the one who is busy.
_PAUSE_SECONDS = 0.01
# The setting of a client that takes no byte of any answer.
_NO_WINDOW = (INITIAL_WINDOW_SIZE, 0)


def _create(attacker: Attacker) -> bytes:
    content = json.dumps({"email": f"{attacker.next()}@example.com"}).encode()
    return attacker.request("POST", "/customers", content)


def _new_customer(attacker: Attacker) -> str:
    """Creates a customer of the attacker's, and returns its id."""
    with attacker.channel() as channel:
        customer = Customer(email=f"{attacker.next()}@example.com")
        created = CustomerServiceStub(channel).CreateCustomer(
            pb.CreateCustomerRequest(customer=customer),
            metadata=attacker.metadata,
            timeout=attacker.answer_seconds,
        )
        return str(created.id)


@attack(who=OWNER, quick=OWNER)
def reading_on_many_connections(attacker: Attacker) -> None:
    """Gets of one tenant on 64 connections."""
    attacker.repeat(attacker.request("GET", NO_CUSTOMER), connections=_CONNECTIONS)


@attack(who=OWNER)
def writing_on_many_connections(attacker: Attacker) -> None:
    """Creates of one tenant on 64 connections."""
    attacker.repeat(lambda: _create(attacker), connections=_CONNECTIONS)


@attack(who=OWNER, native=True)
def native_reading_on_many_connections(attacker: Attacker) -> None:
    """Native gets of one tenant, 16 at a time on each of four connections."""
    sent = message(pb.GetCustomerRequest(id=UNKNOWN_ID).SerializeToString())

    def call(_: int) -> None:
        while not attacker.is_over:
            calls = [attacker.rpc(f"{SERVICE}/GetCustomer") for _ in range(16)]
            attacker.call_all(calls, sent)

    attacker.at_once(call, 4)


def _store_large_namesakes(attacker: Attacker) -> None:
    """Stores 1,000 customers of 4 KB, whose last name is `same`."""
    with attacker.channel() as channel:
        items = (
            pb.UploadCustomersRequest(
                customer=Customer(
                    email=f"{attacker.next()}@example.com",
                    last_name="same",
                    tax_exemptions=["x" * 1000] * 4,
                )
            )
            for _ in range(1000)
        )
        upload = CustomerServiceStub(channel).UploadCustomers
        results = upload(items, metadata=attacker.metadata, timeout=UPLOAD_SECONDS)
        assert all(each.HasField("customer") for each in results)


@attack(who=OWNER, answer_bytes=None)
def lookups_of_large_pages(attacker: Attacker) -> None:
    """Lookups of 1,000 customers with a page of 4 MB, on 16 connections."""
    _store_large_namesakes(attacker)
    attacker.start()
    path = "/customers/search?lastName=same&pageSize=1000"
    attacker.repeat(attacker.request("GET", path), connections=16)


@attack(who=OWNER, answer_bytes=None)
def lists_of_large_pages(attacker: Attacker) -> None:
    """Lists of 4 MB in pages as large as they may be, on 16 connections."""
    _store_large_namesakes(attacker)
    attacker.start()
    attacker.repeat(attacker.request("GET", "/customers?pageSize=1000"), connections=16)


@attack(who=OWNER, answer_bytes=None)
def unread_pages_of_json(attacker: Attacker) -> None:
    """REST lookups of a page of 4 MB, each on a connection that reads nothing of it."""
    _store_large_namesakes(attacker)
    attacker.start()
    sent = attacker.request("GET", "/customers/search?lastName=same&pageSize=1000")
    while not attacker.is_over:
        if connection := attacker.connect(received_bytes=1):
            connection.sendall(sent)
            attacker.outcomes.add(OPEN)
            time.sleep(_PAUSE_SECONDS)


@attack(who=OWNER, native=True, answer_bytes=None)
def unread_pages(attacker: Attacker) -> None:
    """160 lookups of a page of 4 MB, on 16 connections that read nothing of it."""
    _store_large_namesakes(attacker)
    attacker.start()
    request = pb.LookupCustomersRequest(last_name="same", page_size=1000)
    sent = message(request.SerializeToString())

    def call(_: int) -> None:
        with attacker.http2(_NO_WINDOW) as connection:
            for _ in range(attacker.many(10)):
                stream = connection.open(attacker.rpc(f"{SERVICE}/LookupCustomers"))
                connection.write(stream, sent, attacker.end, end=True)
            connection.wait(attacker.end)

    attacker.at_once(call, 16)


@attack(who=OWNER, answer_bytes=None)
def lists_without_match(attacker: Attacker) -> None:
    """Lists that examine as many customers as one may, and find none, on 16 connections."""
    for _ in range(2):
        content = json.dumps(
            [{"email": f"{attacker.next()}@example.com", "lastName": "same"} for _ in range(5000)]
        ).encode()
        connection = attacker.connect()
        if connection:
            connection.settimeout(UPLOAD_SECONDS)
            attacker.exchange(connection, attacker.request("POST", UPLOAD, content))
    attacker.start()
    path = "/customers?filter=lastName%3Dsame%20AND%20state%3Ddeclined"
    attacker.repeat(attacker.request("GET", path), connections=16)


def _hold_bulk(attacker: Attacker, rpc: str) -> None:
    attacker.hold_streams(Stream(attacker.rpc(f"{SERVICE}/{rpc}")), 64, connections=2)


@attack(who=OWNER, quick=OWNER)
def idle_imports_of_a_tenant(attacker: Attacker) -> None:
    """64 imports that send nothing, which would take all places for bulk."""
    _hold_bulk(attacker, "ImportCustomers")


@attack(who=OWNER, native=True)
def idle_uploads_of_a_tenant(attacker: Attacker) -> None:
    """64 uploads that send nothing, which would take all places for bulk."""
    _hold_bulk(attacker, "UploadCustomers")


@attack(who=OWNER, quick=OWNER, native=True, seconds=10, place_seconds=3)
def idle_uploads_of_many_tenants(attacker: Attacker) -> None:
    """Uploads of ten tenants that send nothing, which begin again as soon as they end."""
    path = f"{SERVICE}/UploadCustomers"
    calls = [attacker.rpc(path, attacker.next()) for _ in range(10)]
    attacker.start()

    def call(number: int) -> None:
        while not attacker.is_over:
            with attacker.http2() as connection:
                for _ in range(2):
                    connection.open(calls[number])
                connection.wait(attacker.end)

    attacker.at_once(call, 10)


@attack(who=OWNER, native=True, seconds=15, place_seconds=5)
def slow_uploads_of_many_tenants(attacker: Attacker) -> None:
    """Uploads of ten tenants that go on bit by bit, which begin again as soon as they end."""
    item = pb.UploadCustomersRequest(customer=Customer(email="a@example.com"))
    sent = message(item.SerializeToString())
    _hold_of_ten_tenants(attacker, "UploadCustomers", 2, sent, drip=sent)


@attack(who=OWNER, native=True, seconds=10, place_seconds=5)
def waits_of_many_tenants(attacker: Attacker) -> None:
    """Waits for changes of ten tenants, 16 of each, which begin again as soon as they end."""
    sent = message(pb.ListCustomerChangesRequest(wait_seconds=30).SerializeToString())
    _hold_of_ten_tenants(attacker, "ListCustomerChanges", 16, sent, ends=True)


def _hold_of_ten_tenants(
    attacker: Attacker, rpc: str, count: int, sent: bytes, **more: Any
) -> None:
    """Begins so many calls of each of ten tenants, again and again."""
    path = f"{SERVICE}/{rpc}"
    streams = [Stream(attacker.rpc(path, attacker.next()), sent, **more) for _ in range(10)]
    attacker.start()

    def call(number: int) -> None:
        while not attacker.is_over:
            attacker.hold_streams(streams[number], count)

    attacker.at_once(call, 10)


@attack(who=OWNER)
def idle_exports_of_a_tenant(attacker: Attacker) -> None:
    """64 exports whose request does not come."""
    _hold_bulk(attacker, "ExportCustomers")


def _batches(attacker: Attacker, make: Any) -> Iterator[pb.ImportCustomersRequest]:
    while not attacker.is_over:
        items = [pb.ImportItem(sequence=n, customer=make(n)) for n in range(1000)]
        yield pb.ImportCustomersRequest(items=items)


def _import_once(attacker: Attacker, stub: Any, make: Any) -> Any:
    batches = _batches(attacker, make)
    return stub.ImportCustomers(batches, metadata=attacker.metadata, timeout=UPLOAD_SECONDS)


def _import(attacker: Attacker, make: Any, count: int) -> None:
    def call(_: int) -> None:
        with attacker.channel() as channel:
            stub = CustomerServiceStub(channel)
            while not attacker.is_over:
                attacker.call(partial(_import_once, attacker, stub, make))
                time.sleep(0.05)

    attacker.at_once(call, count)


@attack(who=OWNER, answer_bytes=None)
def imports_at_once(attacker: Attacker) -> None:
    """Imports of new customers on four connections, as fast as they are taken."""
    _import(attacker, lambda _: Customer(email=f"{attacker.next()}@example.com"), 4)


@attack(who=OWNER, answer_bytes=None)
def imports_of_empty_addresses(attacker: Attacker) -> None:
    """Imports of customers with 100 empty addresses each, on two connections."""
    bad = Customer(email="a@example.com", addresses=[Address()] * _HUNDRED)
    _import(attacker, lambda _: bad, 2)


@attack(who=OWNER, native=True, answer_bytes=None)
def unread_imports(attacker: Attacker) -> None:
    """Imports of bad customers whose answers are not read, on four connections."""
    bad = Customer(addresses=[Address()] * _HUNDRED)
    items = [pb.ImportItem(sequence=n, customer=bad) for n in range(1000)]
    sent = message(pb.ImportCustomersRequest(items=items).SerializeToString())

    def call(_: int) -> None:
        with attacker.http2(_NO_WINDOW) as connection:
            stream = connection.open(attacker.rpc(f"{SERVICE}/ImportCustomers"))
            while not (attacker.is_over or connection.closed or connection.is_idle):
                connection.write(stream, sent, attacker.end)

    attacker.at_once(call, 4)


@attack(who=OWNER, seconds=8.0, answer_bytes=None)
def one_idempotency_key(attacker: Attacker) -> None:
    """32 repeats of an upload of 6 MB with the same Idempotency-Key, at the same time."""
    attacker.answer_seconds = UPLOAD_SECONDS
    content = good_items(attacker.next(), 6 << 20)
    key = [("idempotency-key", attacker.next())]
    sent = attacker.request("POST", UPLOAD, content, key)

    def call(_: int) -> None:
        if connection := attacker.connect():
            attacker.exchange(connection, sent)

    attacker.at_once(call, attacker.many(32))


@attack(who=OWNER)
def idempotency_keys(attacker: Attacker) -> None:
    """Creates that each have another Idempotency-Key of 255 letters, on 16 connections."""

    def create() -> bytes:
        key = [("idempotency-key", attacker.next().ljust(255, "k"))]
        content = json.dumps({"email": f"{attacker.next()}@example.com"}).encode()
        return attacker.request("POST", "/customers", content, key)

    attacker.repeat(create, connections=16)


@attack(who=OWNER)
def one_customer_from_everywhere(attacker: Attacker) -> None:
    """Updates of the same customer on 32 connections."""
    own = _new_customer(attacker)

    def update() -> bytes:
        content = json.dumps({"id": own, "firstName": attacker.next()}).encode()
        return attacker.request("PUT", "/customers", content)

    attacker.repeat(update, connections=32)


@attack(who=OWNER)
def one_email_from_everywhere(attacker: Attacker) -> None:
    """Creates of the same e-mail on 32 connections, of which one may succeed."""
    content = json.dumps({"email": f"{attacker.next()}@example.com"}).encode()
    attacker.repeat(attacker.request("POST", "/customers", content), connections=32)


@attack(who=OWNER)
def many_entity_tags(attacker: Attacker) -> None:
    """Gets and updates with conditions of 10,000 entity tags."""
    own = _new_customer(attacker)
    tags = ", ".join(f'"{n}"' for n in range(8000))
    content = json.dumps({"id": own, "firstName": "x"}).encode()
    attacker.repeat(
        attacker.request("GET", f"/customers/{own}", None, [("if-none-match", tags)]),
        attacker.request("PUT", "/customers", content, [("if-match", tags)]),
        connections=8,
    )


@attack(who=OWNER)
def many_masks(attacker: Attacker) -> None:
    """Updates with a mask of 7,000 fields."""
    own = _new_customer(attacker)
    content = json.dumps({"id": own, "firstName": "x"}).encode()
    path = f"/customers?updateMask={','.join(['firstName'] * 7000)}"
    attacker.repeat(attacker.request("PUT", path, content), connections=8)


@attack(who=OWNER)
def odd_page_tokens(attacker: Attacker) -> None:
    """Lookups with page tokens of 60 kB and of nothing that was given out."""
    paths = [
        f"/customers/search?lastName=x&pageToken={token}"
        for token in ("A" * 60_000, "////", "eyJ9", "%00" * 1000, "-" * 5000)
    ]
    attacker.repeat(*(attacker.request("GET", path) for path in paths), connections=8)


@attack(who=OWNER)
def hundred_addresses(attacker: Attacker) -> None:
    """Addresses added to one customer, to the most it may have and beyond, on 16 connections."""
    own = _new_customer(attacker)
    content = json.dumps({"city": "x" * 200}).encode()
    sent = attacker.request("POST", f"/customers/{own}/address", content)
    attacker.repeat(sent, connections=16)
