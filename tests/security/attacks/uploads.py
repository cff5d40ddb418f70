"""Large bodies, complete and not, with and without a good token."""

import gzip
import itertools
import json
from functools import partial
from typing import Any

from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer
from twc.customer.v2.customer_service_pb2_grpc import CustomerServiceStub

from tests.security import http1
from tests.security.attacker import API, SERVICE, Attacker, Stream, Who
from tests.security.attacks.bodies import UPLOAD
from tests.security.attacks.registry import EVERYONE, FOREIGN, MEBIBYTE, OWNER, attack
from tests.security.attacks.streams import IDLE_SECONDS
from tests.support.http2_frames import message

# Time for an upload of a caller who may upload.
UPLOAD_SECONDS = 70
_UPLOAD_BYTES = 12 * MEBIBYTE


def good_items(mark: str, size: int = _UPLOAD_BYTES) -> bytes:
    """Makes a list of new customers, so many bytes of JSON in at most 10,000 items."""
    note = "x" * 250
    names = ("firstName", "lastName")
    address = dict.fromkeys(("addressName", "address1", "city", "company"), note[:200])
    count = size // 1500
    items = [
        {"email": f"{mark}-{n}@example.com", **dict.fromkeys(names, note), "addresses": [address]}
        for n in range(count)
    ]
    return json.dumps(items).encode()


def _post(attacker: Attacker, connections: int) -> None:
    content = good_items(attacker.next())
    attacker.start()
    attacker.repeat(attacker.request("POST", UPLOAD, content), connections=connections)


@attack(who=FOREIGN)
def large_bodies(attacker: Attacker) -> None:
    """Uploads of 12 MB on one connection."""
    _post(attacker, 1)


@attack(who=FOREIGN, quick=(Who.NONE,))
def large_bodies_at_once(attacker: Attacker) -> None:
    """Uploads of 12 MB on four connections."""
    _post(attacker, 4)


@attack(who=OWNER, quick=OWNER, answer_bytes=None)
def good_uploads_at_once(attacker: Attacker) -> None:
    """Uploads of 6 MB of new customers on four connections."""
    attacker.answer_seconds = UPLOAD_SECONDS

    def upload() -> bytes:
        content = good_items(attacker.next(), attacker.many(6 * MEBIBYTE))
        return attacker.request("POST", UPLOAD, content)

    attacker.repeat(upload, connections=attacker.many(4))


@attack(who=OWNER, answer_bytes=None)
def large_good_uploads_at_once(attacker: Attacker) -> None:
    """The same 12 MB of customers on four connections."""
    attacker.answer_seconds = UPLOAD_SECONDS
    _post(attacker, 4)


def _hold_uploads(attacker: Attacker) -> None:
    content = b"[" + b" " * (15 * MEBIBYTE)
    head = attacker.request("POST", UPLOAD, None, [("content-length", str(len(content) + 1))])
    attacker.hold(head + content, 40)


@attack(who=FOREIGN, quick=(Who.NONE,), ends_within=IDLE_SECONDS)
def incomplete_uploads(attacker: Attacker) -> None:
    """40 uploads of 15 MB of which all but the last byte is sent."""
    _hold_uploads(attacker)


@attack(who=OWNER, seconds=8)
def incomplete_uploads_of_a_tenant(attacker: Attacker) -> None:
    """The same with a good token."""
    _hold_uploads(attacker)


@attack(who=OWNER, quick=OWNER, seconds=8)
def incomplete_uploads_of_many_tenants(attacker: Attacker) -> None:
    """Uploads of 30 tenants that go on byte by byte, 16 of each."""
    _hold_uploads_of_tenants(attacker, 30, 16, b"[", drip=b" ")


@attack(who=OWNER, seconds=8, peak_mebibytes=700)
def largest_incomplete_uploads_of_many_tenants(attacker: Attacker) -> None:
    """Uploads of 15 MB of 40 tenants, four of each, of which all but the last byte is sent."""
    _hold_uploads_of_tenants(attacker, 40, 4, b"[" + b" " * (15 * MEBIBYTE - 2))


def _hold_uploads_of_tenants(
    attacker: Attacker, tenants: int, count: int, sent: bytes, *, drip: bytes = b""
) -> None:
    announced = [("content-type", "application/json"), ("content-length", str(15 * MEBIBYTE))]
    heads = [
        http1.request("POST", API + UPLOAD, [*attacker.headers(name).items(), *announced])
        for name in (attacker.next() for _ in range(attacker.many(tenants)))
    ]
    attacker.start()
    attacker.at_once(
        lambda number: attacker.hold(heads[number] + sent, count, drip=drip), len(heads)
    )


@attack(who=FOREIGN, ends_within=IDLE_SECONDS)
def incomplete_chunked_uploads(attacker: Attacker) -> None:
    """40 chunked uploads of 15 MB that do not end."""
    head = attacker.request("POST", UPLOAD, None, [("transfer-encoding", "chunked")])
    attacker.hold(head + (b"10000\r\n" + b" " * (1 << 16) + b"\r\n") * 240, 40)


@attack(who=FOREIGN, ends_within=IDLE_SECONDS)
def incomplete_uploads_over_http2(attacker: Attacker) -> None:
    """40 uploads of 15 MB on four connections of HTTP/2 that do not end."""
    content = b"[" + b" " * (15 * MEBIBYTE)
    attacker.hold_streams(Stream(attacker.rest("POST", UPLOAD), content), 40, connections=4)


@attack(who=FOREIGN, peak_mebibytes=200)
def incomplete_bodies(attacker: Attacker) -> None:
    """300 creates of 2 MB of which all but the last byte is sent."""
    content = b"{" + b" " * (2 * MEBIBYTE - 100)
    head = attacker.request("POST", "/customers", None, [("content-length", str(len(content) + 1))])
    attacker.hold(head + content, attacker.many(300))


@attack(who=FOREIGN)
def too_large_bodies(attacker: Attacker) -> None:
    """Uploads of 64 MB, which is more than is allowed, on four connections."""
    content = b"[" + b" " * (64 * MEBIBYTE)
    attacker.repeat(attacker.request("POST", UPLOAD, content), connections=4)


@attack(who=FOREIGN, ends_within=IDLE_SECONDS)
def huge_content_length(attacker: Attacker) -> None:
    """64 creates that say they have an exabyte."""
    head = attacker.request("POST", "/customers", None, [("content-length", str(10**18))])
    attacker.hold(head + b"{}", 64)


@attack(who=EVERYONE)
def gzip_bombs(attacker: Attacker) -> None:
    """Bodies that are 100 MB when unpacked, on four connections."""
    content = gzip.compress(b" " * (100 * MEBIBYTE), 9)
    attacker.start()
    sent = attacker.request("POST", "/customers", content, [("content-encoding", "gzip")])
    attacker.repeat(sent, connections=4)


@attack(who=EVERYONE, native=True)
def grpc_bombs(attacker: Attacker) -> None:
    """Compressed messages that are 100 MB when unpacked, on four connections."""
    content = gzip.compress(b"\0" * (100 * MEBIBYTE), 9)
    attacker.start()
    headers = attacker.rpc(f"{SERVICE}/CreateCustomer", grpc_encoding="gzip")

    def call(_: int) -> None:
        while not attacker.is_over:
            with attacker.http2() as connection:
                stream = connection.open(headers)
                connection.write(stream, message(content, flag=1), attacker.end, end=True)
                connection.wait(attacker.end + attacker.answer_seconds)

    attacker.at_once(call, 4)


@attack(native=True, who=FOREIGN)
def large_messages(attacker: Attacker) -> None:
    """Creates of 16 MB by gRPC, on four connections."""
    content = message(pb.CreateCustomerRequest(customer=_large(16)).SerializeToString())
    headers = attacker.rpc(f"{SERVICE}/CreateCustomer")

    def call(_: int) -> None:
        while not attacker.is_over:
            with attacker.http2() as connection:
                stream = connection.open(headers)
                connection.write(stream, content, attacker.end, end=True)
                connection.wait(attacker.end + attacker.answer_seconds)

    attacker.at_once(call, 4)


@attack(native=True, who=EVERYONE)
def broken_off_uploads(attacker: Attacker) -> None:
    """Uploads by gRPC that are given up after 4 MB, on four connections."""
    item = pb.UploadCustomersRequest(customer=_large(1)).SerializeToString()
    headers = attacker.rpc(f"{SERVICE}/UploadCustomers")

    def call(_: int) -> None:
        while not attacker.is_over:
            with attacker.http2() as connection:
                stream = connection.open(headers)
                connection.write(stream, message(item) * 4, attacker.end)
                connection.read(0)

    attacker.at_once(call, 4)


@attack(native=True, who=FOREIGN)
def imports_that_go_on(attacker: Attacker) -> None:
    """Imports of endless batches of a megabyte, on four connections."""

    def call(_: int) -> None:
        with attacker.channel() as channel:
            stub = CustomerServiceStub(channel)
            batch = pb.ImportCustomersRequest(items=[pb.ImportItem(customer=_large(1))])
            while not attacker.is_over:
                attacker.call(partial(_import, attacker, stub, batch))

    attacker.at_once(call, 4)


def _import(attacker: Attacker, stub: Any, batch: pb.ImportCustomersRequest) -> Any:
    batches = itertools.takewhile(lambda _: not attacker.is_over, itertools.repeat(batch))
    seconds = attacker.answer_seconds
    return stub.ImportCustomers(batches, metadata=attacker.metadata, timeout=seconds)


def _large(mebibytes: int) -> Customer:
    return Customer(email="a@example.com", first_name="x" * (mebibytes * MEBIBYTE))
