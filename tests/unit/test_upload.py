"""An upload: what it may hold, and what becomes of each of its customers."""

import itertools

import pytest
from google.rpc import code_pb2
from twc.customer.v2.customer_pb2 import Customer
from twc.customer.v2.customer_service_pb2 import UploadCustomersRequest

from server import upload
from server.errors import AlreadyExists, Clash, InvalidInput, RequestTooLarge, Violation, to_status
from tests import builders

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


def test_collect_keeps_the_order() -> None:
    """An upload is read to its end, and its customers stay in their order."""
    customers = [builders.customer() for _ in range(3)]

    collected = upload.collect(UploadCustomersRequest(customer=each) for each in customers)

    assert [item.customer for item in collected.items] == customers
    assert not collected.atomic


def test_collect_of_nothing() -> None:
    """An upload may be empty."""
    assert upload.collect([]) == ([], False)


def test_item_without_a_customer_is_an_empty_customer() -> None:
    """An item that holds no customer keeps its place, to be refused there."""
    given = builders.customer()

    requests = [UploadCustomersRequest(), UploadCustomersRequest(customer=given)]

    assert upload.collect(requests).items == requests


def test_10000_customers_are_accepted() -> None:
    """An upload may hold 10,000 customers."""
    assert len(upload.collect([UploadCustomersRequest()] * 10_000).items) == 10_000


def test_10001_customers_are_refused() -> None:
    """An upload of more than 10,000 customers is refused, and not read any further."""
    endless = itertools.repeat(UploadCustomersRequest())

    with pytest.raises(RequestTooLarge, match=TOO_LARGE):
        upload.collect(endless)


def test_16_mebibytes_are_accepted() -> None:
    """An upload may hold 16 MiB."""
    request = _request_of(1 << 20)

    assert request.ByteSize() == 1 << 20
    assert len(upload.collect([request] * 16).items) == 16


def test_more_than_16_mebibytes_are_refused() -> None:
    """An upload is refused from the first byte beyond 16 MiB."""
    requests = [*[_request_of(1 << 20)] * 15, _request_of((1 << 20) + 1)]

    with pytest.raises(RequestTooLarge, match=TOO_LARGE):
        upload.collect(requests)


def test_prepare_puts_an_error_in_the_place_of_its_customer() -> None:
    """What keeps one customer from being stored does not keep the others."""
    customers = [builders.customer(first_name=name) for name in ("Ada", "", "Eve")]
    error = InvalidInput([Violation("firstName", "must not be empty")])

    def ready(customer: Customer) -> None:
        if not customer.first_name:
            raise error
        customer.active = True

    outcomes = upload.prepare(customers, ready)

    assert outcomes == [customers[0], error, customers[2]]
    assert [customer.active for customer in customers] == [True, False, True]


def test_results_say_the_outcomes_in_order() -> None:
    """Each outcome is a result at its index: the customer as stored, or its error."""
    stored = builders.customer(id="1")
    invalid = InvalidInput([Violation("email", "is required")])

    results = list(upload.results([stored, invalid, CLASH]))

    assert [result.index for result in results] == [0, 1, 2]
    assert all(result.HasField("index") for result in results)
    assert [result.WhichOneof("outcome") for result in results] == ["customer", "error", "error"]
    assert results[0].customer == stored
    assert [results[1].error, results[2].error] == [to_status(invalid), to_status(CLASH)]


def test_result_names_fields_relative_to_its_item() -> None:
    """An item's error is the one that creating the customer alone would have given."""
    invalid = InvalidInput([Violation("email", "is required")])

    [result] = upload.results([invalid])

    assert result.error.code == code_pb2.INVALID_ARGUMENT
    assert result.error.message == "email: is required"
