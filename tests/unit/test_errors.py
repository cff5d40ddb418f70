"""How a client sees each error."""

import base64
import re
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from unittest.mock import create_autospec
from urllib.parse import quote

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.rpc import code_pb2
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, ResourceInfo, RetryInfo
from google.rpc.status_pb2 import Status
from twc.customer.v2 import error_reason_pb2 as reasons
from twc.customer.v2.customer_pb2 import Customer
from twc.customer.v2.customer_service_pb2 import GetCustomerByRefRequest

from tests.support import builders
from tests.support.steps import NOW, settled, stored
from twc_customer_server import errors
from twc_customer_server.api import status
from twc_customer_server.api.servicer import CustomerServicer
from twc_customer_server.api.status import to_status
from twc_customer_server.customers import update
from twc_customer_server.customers.context import ValidationContext
from twc_customer_server.errors import ServiceError, Violation
from twc_customer_server.middleware.rpc import Call
from twc_customer_server.storage.store import CustomerStore
from twc_customer_server.storage.stores import Stores

# What gRPC peers accept of metadata, and what of it trailers beside the status take.
METADATA_BYTES = 8192
OTHER_TRAILERS_BYTES = 512

ADA, EVE = "01938f6e-0000-7000-8000-00000000000a", "01938f6e-0000-7000-8000-00000000000e"

UNSPECIFIED = "ERROR_REASON_UNSPECIFIED"

TABLE = [
    (
        errors.InvalidInput([Violation("dob", "must not be in the future")]),
        code_pb2.INVALID_ARGUMENT,
        "INVALID_INPUT",
    ),
    (errors.MalformedRequest(), code_pb2.INVALID_ARGUMENT, "MALFORMED_REQUEST"),
    (errors.InvalidTenant("no tenant"), code_pb2.INVALID_ARGUMENT, "INVALID_TENANT"),
    (errors.Unauthenticated("no token"), code_pb2.UNAUTHENTICATED, "UNAUTHENTICATED"),
    (errors.TenantForbidden("another"), code_pb2.PERMISSION_DENIED, "TENANT_FORBIDDEN"),
    (errors.ScopeRequired("erase"), code_pb2.PERMISSION_DENIED, "SCOPE_REQUIRED"),
    (errors.Overloaded("uploads"), code_pb2.RESOURCE_EXHAUSTED, "RATE_LIMITED"),
    (errors.NotFound("id"), code_pb2.NOT_FOUND, "RESOURCE_NOT_FOUND"),
    (
        errors.AlreadyExists([errors.Clash("email", ADA)]),
        code_pb2.ALREADY_EXISTS,
        "ALREADY_EXISTS",
    ),
    (errors.AlreadyMerged("droppedId", ADA), code_pb2.FAILED_PRECONDITION, "ALREADY_MERGED"),
    (errors.NotDeleted(), code_pb2.ALREADY_EXISTS, "NOT_DELETED"),
    (errors.IdMismatch("another id"), code_pb2.FAILED_PRECONDITION, "ID_MISMATCH"),
    (errors.RequestTooLarge("too much"), code_pb2.INVALID_ARGUMENT, "REQUEST_TOO_LARGE"),
    (errors.MessageTimeout(10), code_pb2.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
    (errors.Unavailable("no database"), code_pb2.UNAVAILABLE, "SERVICE_UNAVAILABLE"),
    (errors.OutcomeUnknown(), code_pb2.UNKNOWN, "OUTCOME_UNKNOWN"),
    (errors.EtagMismatch(), code_pb2.ABORTED, "ETAG_MISMATCH"),
    (errors.CursorExpired(), code_pb2.FAILED_PRECONDITION, "CURSOR_EXPIRED"),
    (errors.IdempotencyKeyReused(), code_pb2.INVALID_ARGUMENT, "IDEMPOTENCY_KEY_REUSED"),
    (errors.DatabaseDamaged(), code_pb2.DATA_LOSS, "DATABASE_DAMAGED"),
    (errors.Internal(), code_pb2.INTERNAL, "INTERNAL_ERROR"),
]


def _details(error: ServiceError) -> list[Message]:
    """The details of an error's status, each as the message that it is."""
    known = (ErrorInfo, BadRequest, ResourceInfo, RetryInfo)
    kinds = {kind.DESCRIPTOR.full_name: kind for kind in known}
    found: list[Message] = []
    for packed in to_status(error).details:
        detail = kinds[packed.TypeName()]()
        packed.Unpack(detail)
        found.append(detail)
    return found


def _listed(error: ServiceError) -> list[tuple[str, str]]:
    """The violations that the details of an error list."""
    [_, listed] = _details(error)
    assert isinstance(listed, BadRequest)
    return [(each.field, each.description) for each in listed.field_violations]


def _on_the_wire(status: Status) -> int:
    """The bytes that a status takes of a response's trailers."""
    return len(base64.b64encode(status.SerializeToString())) + len(quote(status.message))


def test_table_of_errors() -> None:
    """Every error that a client can see has a row in the table of this test."""
    assert {type(error) for error, _, _ in TABLE} == set(ServiceError.__subclasses__())


@pytest.mark.parametrize(("error", "code", "reason"), TABLE, ids=[row[2] for row in TABLE])
def test_to_status(error: ServiceError, code: int, reason: str) -> None:
    """An error has its code, its own message, and first of its details its public reason."""
    status = to_status(error)
    info, *_ = _details(error)

    assert (status.code, status.message) == (code, str(error))
    assert isinstance(info, ErrorInfo)
    assert (info.reason, info.domain) == (reason, "customer.twc")
    assert reason in reasons.ErrorReason.keys()  # noqa: SIM118 - no dictionary


@pytest.mark.parametrize(
    "error",
    [
        errors.Overloaded("full"),
        errors.Unavailable("away"),
        errors.KeysAwaited(Future(), is_proven=True),
        errors.OutcomeUnknown("send it again"),
    ],
)
def test_retry(error: ServiceError) -> None:
    """What the service could not take for now says when it may be tried again."""
    [_, retry] = _details(error)

    assert isinstance(retry, RetryInfo)
    assert retry.retry_delay.ToTimedelta() == timedelta(seconds=1)


def test_no_retry() -> None:
    """What may have been done, and is not to be done twice, does not say when to try it again."""
    error = errors.OutcomeUnknown()

    assert len(_details(error)) == 1
    assert status.to_headers(error) == ()


def test_keys_awaited() -> None:
    """A client that cannot be authenticated yet sees an unavailable service like any other."""
    status = to_status(errors.KeysAwaited(Future(), is_proven=False))
    info, _ = _details(errors.KeysAwaited(Future(), is_proven=False))
    assert status.code == code_pb2.UNAVAILABLE
    assert isinstance(info, ErrorInfo)
    assert info.reason == "SERVICE_UNAVAILABLE"


def test_message_of_internal_error() -> None:
    """A failure of the server is told by where to look it up, and by nothing else."""
    assert to_status(errors.Internal()).message == (
        "the server failed to answer; its operators find the cause by x-request-id"
    )


def test_violations_of_bad_request() -> None:
    """Invalid input lists every field that breaks a rule; its message names the first."""
    violations = [Violation("email", "is required"), Violation("dob", "must be a date")]
    error = errors.InvalidInput(violations)

    assert _listed(error) == [("email", "is required"), ("dob", "must be a date")]
    assert str(error) == "email: is required (and 1 more)"


def test_message_of_one_violation() -> None:
    """The message of a single violation says just that."""
    assert str(errors.InvalidInput([Violation("email", "is required")])) == "email: is required"


def test_too_many_violations() -> None:
    """Of too many violations the first are listed, and then how many more there are."""
    violations = [Violation(f"addresses[{n}].countryCode", "must be one") for n in range(1000)]
    listed = _listed(errors.InvalidInput(violations))

    assert listed[:-1] == violations[: len(listed) - 1]
    assert len(listed) > 50
    assert listed[-1] == ("", f"{1000 - (len(listed) - 1)} more fields")


def test_exactly_fitting_violations() -> None:
    """A list that takes just the room there is is not cut."""
    one = Violation("dob", "x" * 53)
    fitting = (
        status.MAX_DETAILS_BYTES
        // BadRequest(
            field_violations=[BadRequest.FieldViolation(field="dob", description="x" * 53)]
        ).ByteSize()
    )

    assert _listed(errors.InvalidInput([one] * fitting)) == [one] * fitting
    assert _listed(errors.InvalidInput([one] * (fitting + 1))) == [
        *[one] * fitting,
        ("", "1 more fields"),
    ]


def _long_names() -> None:
    customer = builders.customer()
    name = "\U0001f600" * 1025
    for number in range(100):
        customer.attribute_groups[name].attributes[f"{name}{number}"].attribute_value = "x"
    settled(customer)


def _thousand_fields() -> None:
    customer = builders.customer(tax_exemptions=[""] * 100)
    for group in range(50):
        for name in range(20):
            attribute = customer.attribute_groups[f"g{group}"].attributes[f"a{name}"]
            attribute.value_type = 99  # type: ignore[assignment]
    settled(customer)


def _long_mask() -> None:
    update.update(stored(), Customer(), FieldMask(paths=["x" * 20_000]), ValidationContext(NOW))


def _long_reference() -> None:
    store = create_autospec(CustomerStore, instance=True)
    store.get.return_value = None
    stores = create_autospec(Stores, instance=True, customers=store)
    servicer = CustomerServicer(stores, lambda _: None)
    request = GetCustomerByRefRequest(customer_ref="x" * 20_000)
    servicer.GetCustomerByRef(request, create_autospec(Call, instance=True, tenant="acme"))


@pytest.mark.parametrize("act", [_long_names, _thousand_fields, _long_mask, _long_reference])
def test_size_of_status(act: Callable[[], None]) -> None:
    """Whatever the input, its error is small enough for every gRPC peer."""
    with pytest.raises(ServiceError) as error:
        act()

    assert _on_the_wire(to_status(error.value)) <= METADATA_BYTES - OTHER_TRAILERS_BYTES


def test_clashes_of_already_exists() -> None:
    """A clash names each field and the customer that has its value, for people and programs."""
    error = errors.AlreadyExists([errors.Clash("email", ADA), errors.Clash("customerRef", EVE)])
    info, *resources = _details(error)

    assert str(error) == (
        f"another customer has the same email (customer {ADA}), customerRef (customer {EVE})"
    )
    assert isinstance(info, ErrorInfo)
    assert dict(info.metadata) == {"email": ADA, "customerRef": EVE}
    assert resources == [
        ResourceInfo(
            resource_type="twc.customer.v2.Customer",
            resource_name=ADA,
            description="has the same email",
        ),
        ResourceInfo(
            resource_type="twc.customer.v2.Customer",
            resource_name=EVE,
            description="has the same customerRef",
        ),
    ]


def test_required_scope() -> None:
    """A token that lacks a scope is told which, by the error and by the header of RFC 6750."""
    error = errors.ScopeRequired("customers:erase")
    [info] = _details(error)

    assert isinstance(info, ErrorInfo)
    assert dict(info.metadata) == {"scope": "customers:erase"}
    [(name, challenge)] = status.to_headers(error)
    assert name == "www-authenticate"
    assert challenge.endswith(', error="insufficient_scope", scope="customers:erase"')


def test_message_of_not_found() -> None:
    """The message begins with the documented name, and repeats no value of the request."""
    error = errors.NotFound("customerRef")
    [_, resource] = _details(error)

    assert str(error) == "ResourceNotFound: no customer has this customerRef"
    assert resource == ResourceInfo(
        resource_type="twc.customer.v2.Customer",
        description="ResourceNotFound: no customer has this customerRef",
    )


def test_reasons_in_documentation() -> None:
    """The page of errors has each reason, with the gRPC code that the service gives it."""
    page = (Path(__file__).parents[2] / "docs" / "errors.md").read_text()
    listed = re.findall(r"^\| [\d, ]+ \| ([A-Z_]+) \| ([A-Z_]+) \| ", page, re.MULTILINE)
    given = {(code_pb2.Code.Name(code), reason) for _, code, reason in TABLE}

    assert given <= set(listed)
    assert {reason for _, reason in listed} == {*reasons.ErrorReason.keys()} - {UNSPECIFIED}


def test_frames_of_a_ring() -> None:
    """The frames of errors that stand behind each other are freed, also where these are a ring."""
    first, second = ValueError(), KeyError()
    with suppress(ValueError):
        try:
            raise first
        except ValueError:
            try:
                raise second from first
            except KeyError:
                raise first  # noqa: B904 - its context is what makes the ring
    assert (first.__context__, second.__cause__) == (second, first)
    errors.free_frames(first)
    assert (first.__traceback__, second.__traceback__) == (None, None)
