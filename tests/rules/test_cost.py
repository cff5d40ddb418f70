"""Time in the rules grows with the size of a request, and no faster; bad requests cost no more.

Each shape is measured in CPU time, the least of several runs, at sizes that double.
"""

import gc
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Address, Attribute, Customer

from tests.support.builders import UNKNOWN_ID
from tests.support.steps import NOW, stored
from twc_customer_server.api import bulk, exports, filters, lookup, selectors
from twc_customer_server.api.idempotency import KeyedRequest
from twc_customer_server.api.selectors import matches
from twc_customer_server.api.status import to_status
from twc_customer_server.contract import SERVICE
from twc_customer_server.customers import update
from twc_customer_server.customers.context import ValidationContext
from twc_customer_server.customers.customer import prepare_new
from twc_customer_server.errors import InvalidInput, ServiceError
from twc_customer_server.middleware.decoding import decoder
from twc_customer_server.middleware.rpc import headers_by_name
from twc_customer_server.storage import rows
from twc_customer_server.storage.changes import Position

SIZES = [1 << exponent for exponent in range(15, 20)]
RUNS = 3

# Measurements of a shape, of which the least times count: other programs may disturb one.
ATTEMPTS = 12

# Of the time per byte at the smallest size.
MAX_RATIO = 3

# Marks of two classes in turn, which take quadratic time to bring into order (NFC).
MARKS = "\u0301\u0327"

# Does the work of one request, once.
Act = Callable[[], object]
# Prepares a request of about so many bytes.
Shape = Callable[[int], Act]


def of(**fields: Any) -> Customer:
    """A customer with an e-mail address and fields."""
    return Customer(**{"email": "ada@example.com"} | fields)


def groups(number: int, attributes: int, name: str = "", **fields: Any) -> Customer:
    """A customer with attributes that are alike."""
    customer = of()
    attribute = Attribute(**fields)
    for group in range(number):
        entries = customer.attribute_groups[f"{name}{group}"].attributes
        for each in range(attributes):
            entries[f"{name}{each}"].CopyFrom(attribute)
    return customer


def value(value_type: Attribute.ValueType, text: str) -> Customer:
    """A customer with an attribute."""
    return groups(1, 1, value_type=value_type, attribute_value=text)


def create(make: Callable[[int], Customer]) -> Shape:
    """Creates a customer, and maps its error."""

    def prepare(size: int) -> Act:
        encoded = make(size).SerializeToString()

        def act(customer: Customer) -> None:
            try:
                prepare_new(customer, ValidationContext(NOW, "DE"))
            except InvalidInput as error:
                to_status(error)

        customers = iter([Customer.FromString(encoded) for _ in range(RUNS)])
        return lambda: act(next(customers))

    return prepare


def change(make: Callable[[int], pb.UpdateCustomerRequest]) -> Shape:
    """Updates a customer, with a request each time."""

    def prepare(size: int) -> Act:
        existing = stored(addresses=[{"city": "Rom"}])
        encoded = make(size).SerializeToString()
        requests = iter([pb.UpdateCustomerRequest.FromString(encoded) for _ in range(RUNS)])

        def act() -> None:
            request = next(requests)
            update.update(existing, request.customer, request.update_mask, ValidationContext(NOW))

        return act

    return prepare


def upload(make: Callable[[], Customer]) -> Shape:
    """Uploads customers that are alike."""

    def prepare(size: int) -> Act:
        encoded = pb.UploadCustomersRequest(customer=make()).SerializeToString()
        decode = decoder(SERVICE.methods_by_name["UploadCustomers"])

        def act() -> None:
            requests: Iterable[Any] = map(decode, [encoded] * (size // 4 // len(encoded)))
            upload = bulk.collect(requests, _prepare)
            list(bulk.upload_results(upload.validated))

        return act

    return prepare


def _prepare(customer: Customer, max_violations: int) -> None:
    prepare_new(customer, ValidationContext(NOW, max_violations=max_violations))


def parse(make: Callable[[int], pb.LookupCustomersRequest]) -> Shape:
    """Parses a lookup."""
    return lambda size: partial(lookup.parse, make(size), "acme", "DE")


def parse_list(make: Callable[[int], str]) -> Shape:
    """Parses the filter of a list."""
    return lambda size: partial(_parse_filter, make(size))


def _parse_filter(text: str) -> None:
    with suppress(filters.FilterError):
        filters.parse(text, "DE")


def resume(make: Callable[[int], str]) -> Shape:
    """Parses an export that is to be resumed."""
    return lambda size: partial(
        exports.parse, pb.ExportCustomersRequest(resume_token=make(size)), "acme", _begin, NOW
    )


def _begin() -> tuple[Position, str]:
    return Position("cafe", 0), ""


SHAPES: dict[str, Shape] = {
    "long text": create(lambda n: of(first_name="x" * n)),
    "text of control characters": create(lambda n: of(customer_ref="\1" * n)),
    "long e-mail": create(lambda n: of(email="a." * (n // 2) + "@example.com")),
    "e-mail of spaces": create(lambda n: of(email=" " * n + "a")),
    "phone of digits": create(lambda n: of(mobile="0170" + "1" * n)),
    "phone of spaces": create(lambda n: of(mobile="+49" + " " * n + "1")),
    "phone of extensions": create(lambda n: of(phone="+49;phone-context=+" + "1" * n)),
    "date of digits": create(lambda n: of(dob="2001-01-01T00:00:00." + "1" * n)),
    "country of letters": create(lambda n: of(addresses=[Address(country_code="\xdf" * (n // 2))])),
    "tax exemptions": create(lambda n: of(tax_exemptions=[""] * (n // 3))),
    "empty addresses": create(lambda n: of(addresses=[Address()] * (n // 3))),
    "default addresses": create(
        lambda n: of(addresses=[Address(city="x", default_address=True)] * (n // 8))
    ),
    "groups": create(lambda n: groups(n // 12, 0)),
    "attributes": create(lambda n: groups(1, n // 24, value_type=1, attribute_value="x")),
    "groups of bad attributes": create(
        lambda n: groups(n // 24 // 190 + 1, 190, value_type=1, attribute_value="x")
    ),
    "alike names": create(lambda n: groups(1, n // 160, "x" * 140, value_type=1)),
    "integer": create(lambda n: value(Attribute.INTEGER, "1" * n + "x")),
    "number": create(lambda n: value(Attribute.NUMBER, "1." + "1" * n + "e")),
    "base64": create(lambda n: value(Attribute.BLOB, "A" * n + "=" * 9)),
    "date": create(lambda n: value(Attribute.DATE, "2001-01-01T00:00:00." + "1" * n)),
    "update of addresses": change(
        lambda n: pb.UpdateCustomerRequest(
            customer=Customer(
                addresses=[Address(id="x")] * (n // 6), default_address=Address(id="x")
            )
        )
    ),
    "unknown fields": change(
        lambda n: pb.UpdateCustomerRequest(update_mask=FieldMask(paths=["xy"] * (n // 4)))
    ),
    "known fields": change(
        lambda n: pb.UpdateCustomerRequest(update_mask=FieldMask(paths=["dob"] * (n // 5)))
    ),
    "e-mail of marks in an update by key": lambda n: partial(
        selectors.of_update,
        pb.UpdateCustomerRequest(
            key=f"id={UNKNOWN_ID}", customer=of(email=MARKS * (n // 4) + "@a")
        ),
    ),
    "keys of an invalid customer": lambda n: partial(
        rows.new_row, "acme", of(email=MARKS * (n // 8) + "@a", first_name=MARKS * (n // 8))
    ),
    "upload of empty addresses": upload(lambda: of(addresses=[Address()] * 100)),
    "upload of bad attributes": upload(
        lambda: groups(1, 10, "x" * 70, value_type=1, attribute_value="x")
    ),
    "upload of bad e-mails": upload(lambda: of(email="x" * 200)),
    "lookup of an e-mail": parse(lambda n: pb.LookupCustomersRequest(email="a." * (n // 2) + "@b")),
    "lookup of a phone": parse(lambda n: pb.LookupCustomersRequest(phone="0" * n)),
    "lookup of a name": parse(lambda n: pb.LookupCustomersRequest(first_name="\u0130" * (n // 2))),
    "filter of a word": parse_list(lambda n: "lastName = " + "x" * n),
    "filter of quotation marks": parse_list(lambda n: 'lastName = "' + '\\"' * (n // 2)),
    "filter of asterisks": parse_list(lambda n: "lastName = " + "*" * n),
    "filter of spaces": parse_list(lambda n: "lastName = K" + " " * n),
    "filter of terms": parse_list(lambda n: " AND ".join(["createdDate > 2026-01-01"] * (n // 29))),
    "page token": parse(lambda n: pb.LookupCustomersRequest(email="a@b.de", page_token="IC" * n)),
    "resume token": resume(lambda n: "ICAg" * (n // 4)),
    "idempotency key": lambda n: partial(KeyedRequest, "x" * n, "CreateCustomer", NOW),
    "If-Match": lambda n: partial(matches, '"' * n, '"tag"'),
    # As many as gRPC takes of them, since more do not fit into the processor's cache.
    "headers": lambda n: partial(
        headers_by_name, [("a", ""), *((f"header-{number}", "") for number in range(n // 360))] * 2
    ),
}


def seconds(act: Act) -> float:
    """The CPU time of this thread for an act, the least of several runs."""
    times = []
    for _ in range(RUNS):
        started = time.thread_time()
        with suppress(ServiceError):
            act()
        times.append(time.thread_time() - started)
    return min(times)


@pytest.fixture(autouse=True)
def _no_collection() -> Iterator[None]:
    """Keeps the garbage of other tests out of the times."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(autouse=True)
def _no_limit_of_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has filters be read that would be refused for their length."""
    monkeypatch.setattr(filters, "MAX_LENGTH", SIZES[-1] * 2)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_time_per_byte(shape: Shape) -> None:
    """A request of twice the size takes about twice the time, whatever it is made of."""
    seconds(shape(SIZES[0]))
    least = [math.inf] * len(SIZES)
    for _ in range(ATTEMPTS):
        for place, size in enumerate(SIZES):
            least[place] = min(least[place], seconds(shape(size)) / size)
            if least[place] > MAX_RATIO * least[0]:
                break
        else:
            return

    pytest.fail(f"nanoseconds per byte: {[round(each * 1e9, 1) for each in least]}")


def _addresses(**fields: Any) -> Act:
    """An upload of customers with 100 addresses that are alike."""
    customer = of(addresses=[Address(**fields)] * 100)
    return upload(lambda: customer)(1600 * customer.ByteSize())


def _attributes(text: str) -> Act:
    return create(lambda _: groups(100, 190, value_type=1, attribute_value=text))(0)


def _fields(**fields: Any) -> Act:
    return upload(lambda: of(**fields))(100_000)


# A bad request, and a good one of the same size or number of parts.
PAIRS: dict[str, Callable[[], tuple[Act, Act]]] = {
    "phone": lambda: (
        _fields(phone="+49;phone-context=+" + "1" * 230),
        _fields(phone="+49 (0) 30 1234567"),
    ),
    "e-mail": lambda: (_fields(email="a@" + "\ufdfa" * 240 + ".de"), _fields()),
    "attributes": lambda: (_attributes("x"), _attributes("1")),
    "addresses": lambda: (_addresses(), _addresses(city="x")),
}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_cost_of_bad_request(pair: Callable[[], tuple[Act, Act]]) -> None:
    """A request that breaks a rule thousands of times takes no more time than a valid one."""
    bad, good = pair()

    assert seconds(bad) <= seconds(good)
