"""An upload: what it may hold, and what becomes of each of its customers."""

import base64
import itertools
from collections.abc import Iterable

import pytest
from google.rpc import code_pb2
from twc.customer.v2.customer_pb2 import Customer
from twc.customer.v2.customer_service_pb2 import UploadCustomersRequest

from tests.support import builders
from tests.support.steps import NOW
from twc_customer_server.api import bulk
from twc_customer_server.api.status import to_status
from twc_customer_server.customers.context import ValidationContext
from twc_customer_server.customers.customer import prepare_new
from twc_customer_server.errors import (
    AlreadyExists,
    Clash,
    InvalidInput,
    RequestTooLarge,
    ServiceError,
    Violation,
)

TOO_LARGE = (
    "^an upload takes at most 10,000 customers and 16 MiB; "
    "the streaming RPC ImportCustomers takes any number$"
)

CLASH = AlreadyExists([Clash("email", "01938f6e-0000-7000-8000-0000000000ff")])


def _request_of(size: int) -> UploadCustomersRequest:
    """A request of exactly so many bytes, from 16 KiB to 2 MiB."""
    empty = UploadCustomersRequest(customer=Customer(first_name="x" * (1 << 14)))
    padding = "x" * (size - empty.ByteSize() + (1 << 14))
    filled = UploadCustomersRequest(customer=Customer(first_name=padding))
    rest = filled.ByteSize() - size
    return UploadCustomersRequest(customer=Customer(first_name=padding[rest:]))


def _collect(requests: Iterable[UploadCustomersRequest]) -> bulk.Upload:
    """Reads an upload whose customers are all valid."""
    return bulk.collect(requests, lambda _customer, _max_violations: None)


def _prepare(customer: Customer, max_violations: int) -> None:
    prepare_new(customer, ValidationContext(NOW, max_violations=max_violations))


def test_order_of_collected_customers() -> None:
    """An upload is read to its end, and its customers stay in their order."""
    customers = [builders.customer() for _ in range(3)]

    collected = _collect(UploadCustomersRequest(customer=each) for each in customers)

    assert collected == (customers, False)


def test_collect_of_nothing() -> None:
    """An upload may be empty."""
    assert _collect([]) == ([], False)


@pytest.mark.parametrize("first", [True, False])
def test_atomic_in_first_item(*, first: bool) -> None:
    """What the first item says of `atomic` counts for all."""
    requests = [UploadCustomersRequest(atomic=first), UploadCustomersRequest(atomic=not first)]

    assert _collect(requests).atomic is first


def test_item_without_customer() -> None:
    """An item that holds no customer keeps its place, to be refused there."""
    given = builders.customer()

    requests = [UploadCustomersRequest(), UploadCustomersRequest(customer=given)]

    assert _collect(requests).validated == [Customer(), given]


def test_10000_customers() -> None:
    """An upload may hold 10,000 customers."""
    assert len(_collect([UploadCustomersRequest()] * 10_000).validated) == 10_000


def test_too_many_customers() -> None:
    """An upload of more than 10,000 customers is refused, and not read any further."""
    endless = itertools.repeat(UploadCustomersRequest())

    with pytest.raises(RequestTooLarge, match=TOO_LARGE):
        _collect(endless)


def test_upload_of_16_mebibytes() -> None:
    """An upload may hold 16 MiB."""
    request = _request_of(1 << 20)

    assert request.ByteSize() == 1 << 20
    assert len(_collect([request] * 16).validated) == 16


def test_too_large_upload() -> None:
    """An upload is refused from the first byte beyond 16 MiB."""
    requests = [*[_request_of(1 << 20)] * 15, _request_of((1 << 20) + 1)]

    with pytest.raises(RequestTooLarge, match=TOO_LARGE):
        _collect(requests)


def test_place_of_invalid_customer() -> None:
    """What keeps one customer from being stored does not keep the others."""
    customers = [builders.customer(first_name=name) for name in ("Ada", "", "Eve")]
    error = InvalidInput([Violation("firstName", "must not be empty")])

    def ready(customer: Customer, _max_violations: int) -> None:
        if not customer.first_name:
            raise error
        customer.active = True

    outcomes = bulk.validate_each(customers, ready)

    assert outcomes == [customers[0], error, customers[2]]
    assert [customer.active for customer in customers] == [True, False, True]


def test_results_of_all_outcomes() -> None:
    """Each outcome is a result at its index: the customer as stored, or its error."""
    stored = builders.customer(id="1")
    invalid = InvalidInput([Violation("email", "is required")])

    results = [*bulk.upload_results([stored, invalid, CLASH])]

    assert [result.index for result in results] == [0, 1, 2]
    assert all(result.HasField("index") for result in results)
    assert [result.WhichOneof("outcome") for result in results] == ["customer", "error", "error"]
    assert results[0].customer == stored
    assert [results[1].error, results[2].error] == [to_status(invalid), to_status(CLASH)]


def test_paths_in_item_error() -> None:
    """An item's error is the one that creating the customer alone would have given."""
    invalid = InvalidInput([Violation("email", "is required")])

    [result] = bulk.upload_results([invalid])

    assert result.error.code == code_pb2.INVALID_ARGUMENT
    assert result.error.message == "email: is required"


EMAIL = Violation("email", "is required")
CITY = Violation("addresses[0].city", "is too long")
OWNER = "01938f6e-0000-7000-8000-0000000000ff"


def _refusal(*outcomes: Customer | InvalidInput | AlreadyExists) -> ServiceError | None:
    """What an upload that stores all or none is refused with; its customers have ids from 0."""
    validated = [
        outcome if isinstance(outcome, InvalidInput) else Customer(id=str(number))
        for number, outcome in enumerate(outcomes)
    ]
    return bulk.combined_error(validated, outcomes)


def test_refusal_without_faults() -> None:
    """An upload that is stored as a whole is not refused."""
    assert _refusal() is None
    assert _refusal(Customer(), Customer()) is None


def test_refusal_of_violations() -> None:
    """Every violation of every customer is told, each behind the place of its customer."""
    refusal = _refusal(InvalidInput([EMAIL, CITY]), Customer(), InvalidInput([EMAIL]))

    assert isinstance(refusal, InvalidInput)
    assert refusal.violations == [
        Violation("[0].email", "is required"),
        Violation("[0].addresses[0].city", "is too long"),
        Violation("[2].email", "is required"),
    ]


def test_refusal_of_clashes() -> None:
    """Clashes alone are ALREADY_EXISTS; one with an earlier customer names the place of that."""
    refusal = _refusal(
        Customer(),
        AlreadyExists([Clash("email", "0"), Clash("phone", OWNER)]),
        AlreadyExists([Clash("email", OWNER)]),
    )

    assert isinstance(refusal, AlreadyExists)
    assert refusal.clashes == [("[1].email", "[0]"), ("[1].phone", OWNER), ("[2].email", OWNER)]


def test_refusal_of_violations_and_clashes() -> None:
    """Where customers break rules, those that clash are told among them."""
    refusal = _refusal(AlreadyExists([Clash("email", OWNER)]), InvalidInput([EMAIL]))

    assert isinstance(refusal, InvalidInput)
    assert set(refusal.violations) == {
        ("[0].email", f"is that of customer {OWNER}"),
        ("[1].email", "is required"),
    }


def test_client_id_in_refusal() -> None:
    """The id that a client gave a customer that is not valid stands for no place."""
    customers = [builders.customer(id=OWNER, dob="never"), builders.customer()]
    requests = [UploadCustomersRequest(customer=customer) for customer in customers]
    [invalid, valid] = bulk.collect(requests, _prepare).validated
    clash = AlreadyExists([Clash("email", OWNER)])
    refusal = bulk.combined_error([invalid, valid], [invalid, clash])

    assert isinstance(refusal, InvalidInput)
    assert ("[1].email", f"is that of customer {OWNER}") in refusal.violations


@pytest.mark.parametrize("fields", [["email"], ["customerRef"], ["email", "mobile", "phone"]])
def test_refusal_of_10000_clashes(fields: list[str]) -> None:
    """However many customers clash, the error takes less than the 8 KiB that clients accept."""
    clashes = [Clash(field, OWNER) for field in fields]
    refusal = _refusal(*[AlreadyExists(clashes)] * 10_000)

    assert refusal is not None
    status = to_status(refusal)
    assert len(status.message) + len(base64.b64encode(status.SerializeToString())) < 7000
    assert len(status.details) > 10


def test_kept_results() -> None:
    """Results that are kept as bytes come back as they were."""
    results = [*bulk.upload_results([builders.customer(id="1"), CLASH, Customer()])]

    assert bulk.decode(b"".join(bulk.encode(results))) == results
    assert bulk.decode(b"".join(bulk.encode([]))) == []
