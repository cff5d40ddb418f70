"""Errors are bounded: what the rules find, and what an answer to many customers holds."""

from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Address, Attribute, Customer

from tests.support import builders
from tests.support.steps import NOW, settled, stored
from twc_customer_server.api import bulk, imports
from twc_customer_server.api.status import MAX_DETAILS_BYTES, to_status
from twc_customer_server.customers import update
from twc_customer_server.customers.context import ValidationContext
from twc_customer_server.customers.customer import prepare_new
from twc_customer_server.customers.fields import MAX_VIOLATIONS
from twc_customer_server.errors import AlreadyExists, Clash, InvalidInput, Violation

# Long names, of which each character takes four bytes.
NAME = "\U0001f600" * 1000


def bad_attributes(groups: int, attributes: int, name: str = "") -> Customer:
    """A customer whose attributes are no numbers."""
    customer = builders.customer()
    for group in range(groups):
        for number in range(attributes):
            attribute = Attribute(value_type=Attribute.INTEGER, attribute_value="x")
            entries = customer.attribute_groups[f"{group}{name}"].attributes
            entries[f"{number}{name}"].CopyFrom(attribute)
    return customer


def empty_addresses(number: int, **fields: Any) -> Customer:
    """A customer with addresses that describe nothing."""
    return builders.customer(addresses=[Address()] * number, **fields)


def refusal(customer: Customer, max_violations: int = MAX_VIOLATIONS) -> InvalidInput:
    """The error of a customer."""
    with pytest.raises(InvalidInput) as error:
        prepare_new(customer, ValidationContext(NOW, max_violations=max_violations))
    return error.value


def listed(status: Status) -> list[tuple[str, str]]:
    """The violations in the details of a status."""
    bad_request = BadRequest()
    for detail in status.details:
        detail.Unpack(bad_request)
    return [(each.field, each.description) for each in bad_request.field_violations]


def details_bytes(status: Status) -> int:
    """The bytes of a status's details."""
    return sum(len(detail.value) for detail in status.details)


def upload(*customers: Customer) -> list[pb.UploadCustomersResult]:
    """The results of an upload of invalid customers."""
    requests = (pb.UploadCustomersRequest(customer=customer) for customer in customers)
    return [*bulk.upload_results(bulk.collect(requests, _prepare).validated)]


def _prepare(customer: Customer, max_violations: int) -> None:
    prepare_new(customer, ValidationContext(NOW, max_violations=max_violations))


@pytest.mark.parametrize(
    "customer",
    [
        bad_attributes(100, 190),
        empty_addresses(100),
        builders.customer(tax_exemptions=[""] * 100),
    ],
    ids=["attributes", "addresses", "tax exemptions"],
)
def test_100_violations(customer: Customer) -> None:
    """The rules find 100 violations at most, and the error says that there may be more."""
    error = refusal(customer)
    *shown, (field, last) = listed(to_status(error))

    assert len(error.violations) == 100
    assert str(error).endswith(" (and at least 99 more)")
    assert shown == error.violations[: len(shown)]
    more = 100 - len(shown)
    assert (field, last) == ("", f"at least {more} more fields" if more else "perhaps more fields")


def test_99_violations() -> None:
    """Of fewer violations it is said how many there are."""
    error = refusal(empty_addresses(99))

    assert len(error.violations) == 99
    assert str(error).endswith(" (and 98 more)")
    assert listed(to_status(error))[-1][1].split()[1:] == ["more", "fields"]


def test_smaller_limit_of_violations() -> None:
    """The caller of the rules may want fewer violations, down to the first."""
    customer = empty_addresses(3, email="x")
    [first, second] = refusal(customer, 2).violations
    error = refusal(empty_addresses(3), 1)

    assert [first.field, second.field] == ["addresses[0]", "addresses[1]"]
    assert str(error).endswith(" (and perhaps more)")
    assert listed(to_status(error)) == [*error.violations, ("", "perhaps more fields")]


def test_unknown_fields_of_long_mask() -> None:
    """Of a mask's unknown fields 100 are named at most, each shortened."""
    mask = FieldMask(paths=[f"{'x' * 10_000}{number}" for number in range(1000)])
    with pytest.raises(InvalidInput) as error:
        update.update(stored(), Customer(), mask, ValidationContext(NOW))

    assert len(error.value.violations) == 100
    assert max(len(violation.description) for violation in error.value.violations) < 200
    assert "at least" in str(error.value)


def test_update_of_too_many_addresses() -> None:
    """An update that lists more than 100 addresses is told so, whatever else it asks for."""
    default = Address(id="a", city="Rom")
    request = Customer(addresses=[Address()] * 101, default_address=default, dob="never")
    with pytest.raises(InvalidInput) as error:
        update.update(stored(addresses=[default]), request, FieldMask(), ValidationContext(NOW))

    assert error.value.violations == [
        Violation("addresses", "must hold at most 100 addresses"),
        Violation("dob", error.value.violations[1].description),
    ]


@pytest.mark.parametrize(
    ("customer", "number"),
    [
        (bad_attributes(1, 10, NAME), 350),
        (empty_addresses(100), 1000),
        (bad_attributes(1, 20, "\1" * 100), 1000),
    ],
    ids=["long names", "addresses", "control characters"],
)
def test_upload_of_many_errors(customer: Customer, number: int) -> None:
    """An upload's errors have 1 MiB of details beyond a few hundred bytes each, and are short."""
    results = upload(*[customer] * number)
    sizes = [details_bytes(result.error) for result in results]

    assert len(results) == number
    assert sizes[0] > 3000
    assert sizes[-1] < 512
    assert sum(sizes) < (1 << 20) + number * 512
    assert max(len(result.error.message) for result in results) < 400
    assert max(result.ByteSize() for result in results) < 2 * MAX_DETAILS_BYTES


def test_last_error_of_upload() -> None:
    """The last of many errors has its code, its reason, and the first of its violations."""
    *_, last = upload(*[empty_addresses(100)] * 1000)

    assert last.error.code == to_status(refusal(empty_addresses(1))).code
    assert last.error.message.startswith("addresses[0]: must set a field")
    assert last.error.message.endswith("(and at least 2 more)")
    assert [place for place, _ in listed(last.error)] == [
        "addresses[0]",
        "addresses[1]",
        "addresses[2]",
        "",
    ]


def test_10000_clashes() -> None:
    """However many customers of an upload exist already, each error names the one that does."""
    clash = AlreadyExists([Clash("email", "01938f6e-0000-7000-8000-0000000000ff")])
    results = [*bulk.upload_results([clash] * 10_000)]

    assert all(result.error == to_status(clash) for result in results)


def test_import_of_many_errors() -> None:
    """A batch's errors have 1 MiB of details beyond a few hundred bytes each."""
    item = pb.ImportItem(customer=bad_attributes(1, 10, "n" * 1000))
    request = pb.ImportCustomersRequest(items=[item] * 1000)
    outcomes = bulk.validate_each([item.customer for item in request.items], _prepare)
    response = imports.import_response(request, outcomes)
    sizes = [details_bytes(result.error) for result in response.results]

    assert max(sizes) <= 2048 + 512
    assert sum(sizes) < (1 << 20) + 1000 * 512
    assert response.ByteSize() < 3 << 20


def test_atomic_upload_of_many_errors() -> None:
    """The one error of an atomic upload counts no more than the rules have found."""
    requests = [pb.UploadCustomersRequest(customer=empty_addresses(100), atomic=True)] * 200
    validated = bulk.collect(requests, _prepare).validated
    error = bulk.combined_error(validated, validated)

    assert isinstance(error, InvalidInput)
    assert len(error.violations) == 10_000 + 100 * 3
    assert str(error).endswith(f" (and at least {len(error.violations) - 1} more)")
    assert to_status(error).ByteSize() < MAX_DETAILS_BYTES + 512


def test_traceback_of_error() -> None:
    """What is kept of an invalid customer of an upload is its error alone."""
    [error] = bulk.collect(
        [pb.UploadCustomersRequest(customer=empty_addresses(1))], _prepare
    ).validated

    assert isinstance(error, InvalidInput)
    assert error.__traceback__ is None


def test_valid_customer_after_many_errors() -> None:
    """A customer with as much as it may have is accepted after thousands of errors."""
    valid = builders.customer(addresses=[Address(city="Rom")] * 100)
    results = bulk.validate_each([*[empty_addresses(100)] * 200, valid], _prepare)

    assert results[-1] == settled(
        builders.customer(email=valid.email, addresses=[Address(city="Rom")] * 100)
    )
