"""Failures are errors of the kind of their reason, with all that the service says of them."""

import copy
import pickle

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2 import error_reason_pb2 as reasons

from tests.library.kinds import MakeClient
from tests.support.fake_services import fail, serving
from tests.support.in_process import InProcessServer
from twc_customer_client import Customer, CustomerClient, errors

INVALID, FORBIDDEN = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.PERMISSION_DENIED
EXISTS, FAILED = grpc.StatusCode.ALREADY_EXISTS, grpc.StatusCode.FAILED_PRECONDITION
NOT_FOUND = grpc.StatusCode.NOT_FOUND

# Each reason with the code that the contract gives it, and its error.
REASONS = [
    ("INVALID_INPUT", INVALID, errors.InvalidCustomer),
    ("MALFORMED_REQUEST", INVALID, errors.MalformedRequest),
    ("INVALID_TENANT", INVALID, errors.InvalidTenant),
    ("REQUEST_TOO_LARGE", INVALID, errors.RequestTooLarge),
    ("IDEMPOTENCY_KEY_REUSED", INVALID, errors.IdempotencyKeyReused),
    ("UNSUPPORTED_MEDIA_TYPE", INVALID, errors.Unimplemented),
    ("RESOURCE_NOT_FOUND", NOT_FOUND, errors.NotFound),
    ("ROUTE_NOT_FOUND", NOT_FOUND, errors.Unimplemented),
    ("METHOD_NOT_ALLOWED", grpc.StatusCode.UNIMPLEMENTED, errors.Unimplemented),
    ("ALREADY_EXISTS", EXISTS, errors.AlreadyExists),
    ("NOT_DELETED", EXISTS, errors.NotDeleted),
    ("ID_MISMATCH", FAILED, errors.IdMismatch),
    ("ALREADY_MERGED", FAILED, errors.AlreadyMerged),
    ("CURSOR_EXPIRED", FAILED, errors.CursorExpired),
    ("ETAG_MISMATCH", grpc.StatusCode.ABORTED, errors.EtagMismatch),
    ("UNAUTHENTICATED", grpc.StatusCode.UNAUTHENTICATED, errors.Unauthenticated),
    ("TENANT_FORBIDDEN", FORBIDDEN, errors.TenantForbidden),
    ("SCOPE_REQUIRED", FORBIDDEN, errors.ScopeRequired),
    ("ORIGIN_FORBIDDEN", FORBIDDEN, errors.PermissionDenied),
    ("RATE_LIMITED", grpc.StatusCode.RESOURCE_EXHAUSTED, errors.RateLimited),
    ("SERVICE_UNAVAILABLE", grpc.StatusCode.UNAVAILABLE, errors.Unavailable),
    ("DEADLINE_EXCEEDED", grpc.StatusCode.DEADLINE_EXCEEDED, errors.DeadlineExceeded),
    ("OUTCOME_UNKNOWN", grpc.StatusCode.UNKNOWN, errors.OutcomeUnknown),
    ("INTERNAL_ERROR", grpc.StatusCode.INTERNAL, errors.InternalError),
    ("DATABASE_DAMAGED", grpc.StatusCode.DATA_LOSS, errors.DatabaseDamaged),
]


def raised_by(
    connect: MakeClient, code: grpc.StatusCode, reason: str, *details: Message
) -> errors.CustomerError:
    """The error of a call that fails so, and is not repeated."""

    def get(_: pb.GetCustomerRequest, context: grpc.ServicerContext) -> Customer:
        fail(context, code_pb2.Code.Value(code.name), 0, reason, *details)

    with serving(GetCustomer=get) as address, pytest.raises(errors.CustomerError) as raised:
        connect(address, retry_for=0).get("1")
    return raised.value


def test_table_is_complete() -> None:
    """Every reason of the contract is known."""
    listed = {reason for reason, _, _ in REASONS}
    assert listed == {*reasons.ErrorReason.keys()} - {"ERROR_REASON_UNSPECIFIED"}


@pytest.mark.parametrize(("reason", "code", "kind"), REASONS)
def test_reason(
    connect: MakeClient, reason: str, code: grpc.StatusCode, kind: type[errors.CustomerError]
) -> None:
    """A failure is an error of the kind of its reason, with code and message."""
    error = raised_by(connect, code, reason)

    assert type(error) is kind
    assert (error.reason, error.code, error.message) == (reason, code, "not now")
    assert str(error) == f"not now ({code.name})"


@pytest.mark.parametrize(
    ("reason", "code", "kind"),
    [
        ("", NOT_FOUND, errors.NotFound),
        ("", grpc.StatusCode.UNAVAILABLE, errors.Unavailable),
        ("", grpc.StatusCode.DATA_LOSS, errors.CustomerError),
        ("OF_A_NEWER_SERVICE", FAILED, errors.FailedPrecondition),
    ],
)
def test_unknown_reason(
    connect: MakeClient, reason: str, code: grpc.StatusCode, kind: type[errors.CustomerError]
) -> None:
    """A failure without a reason, or with one that is not known, is an error of its code."""
    error = raised_by(connect, code, reason)
    assert (type(error), error.reason) == (kind, reason)


def test_violations(customers: CustomerClient) -> None:
    """Each field that breaks a rule is named, with what would be right."""
    customer = Customer(email="?", mobile="1")
    customer.addresses.add(city="London", country_code="XX")
    with pytest.raises(errors.InvalidCustomer) as raised:
        customers.create(customer)

    violations = raised.value.violations
    assert {it.field for it in violations} == {"email", "mobile", "addresses[0].countryCode"}
    assert all(it.description.startswith("must be") for it in violations)


def test_clashes(customers: CustomerClient) -> None:
    """Each value that another customer has is named, with that customer's id."""
    stored = customers.create(Customer(email="ada@example.com", customer_ref="1"))
    with pytest.raises(errors.AlreadyExists) as raised:
        customers.create(Customer(email="ADA@example.com", customer_ref="1"))

    assert raised.value.clashes == {"email": stored.id, "customerRef": stored.id}


def test_retry_after(connect: MakeClient) -> None:
    """The delay that the service asks for is known."""

    def create(_: pb.CreateCustomerRequest, context: grpc.ServicerContext) -> Customer:
        fail(context, code_pb2.RESOURCE_EXHAUSTED, 2.5, "RATE_LIMITED")

    with serving(CreateCustomer=create) as address:
        client = connect(address, retry_for=0)
        with pytest.raises(errors.RateLimited) as raised:
            client.create(Customer())
    assert raised.value.retry_after == 2.5


def test_ids_of_the_service(connect: MakeClient) -> None:
    """The ids by which logs and traces have a call are those that the service gives."""
    info = error_details_pb2.RequestInfo(request_id="r-1", serving_data="a" * 32)
    error = raised_by(connect, NOT_FOUND, "RESOURCE_NOT_FOUND", error_details_pb2.Help(), info)
    assert (type(error), error.request_id, error.trace_id) == (errors.NotFound, "r-1", "a" * 32)


def test_own_id(connect: MakeClient) -> None:
    """A call is sent with an id, the same with each attempt, and its failure has that."""
    sent = []

    def get(_: pb.GetCustomerRequest, context: grpc.ServicerContext) -> Customer:
        sent.append(dict(context.invocation_metadata())["x-request-id"])
        fail(context, code_pb2.UNAVAILABLE)

    with serving(GetCustomer=get) as address:
        client = connect(address, retry_for=1)
        for _ in range(2):
            with pytest.raises(errors.Unavailable) as raised:
                client.get("1")
            assert {*sent} == {raised.value.request_id}
            sent.clear()


def test_unreachable_service(connect: MakeClient) -> None:
    """A service that cannot be reached is unavailable, without a reason."""
    with pytest.raises(errors.Unavailable) as raised:
        connect("127.0.0.1:1", retry_for=0).get("1")
    assert raised.value.reason == ""
    assert "connect" in raised.value.message


def test_wrong_callers(connect: MakeClient, server: InProcessServer) -> None:
    """A token that is none, or another tenant's, is an error of its own."""
    with pytest.raises(errors.Unauthenticated):
        connect(server.address, token="x").get("1")  # noqa: S106 - no secret
    with pytest.raises(errors.TenantForbidden):
        connect(server.address, tenant="another").get("1")
    with pytest.raises(errors.InvalidTenant):
        connect(server.address, tenant="?").get("1")


@pytest.mark.parametrize("value", ["ä", "a\nb", "a\x00"])
def test_values_of_headers(connect: MakeClient, server: InProcessServer, value: str) -> None:
    """A value that no header can have is refused, and the error does not show the token."""
    client = connect(server.address)
    for act in (
        lambda: connect(server.address, tenant=value),
        lambda: client.delete("1", if_match=value),
        lambda: client.delete("1", idempotency_key=value),
        lambda: client.get_if_changed("1", value),
    ):
        with pytest.raises(ValueError, match="must have visible ASCII characters only") as raised:
            act()
        assert "Bearer" not in str(raised.value)


def test_closed_client(server: InProcessServer) -> None:
    """A client that is closed says so."""
    with CustomerClient(server.address, tenant="acme", token="x") as closed:  # noqa: S106
        pass
    for act in (lambda: closed.get("1"), lambda: next(closed.follow())):
        with pytest.raises(errors.Cancelled, match="the client is closed"):
            act()


def test_copies() -> None:
    """An error goes through queues and processes as it is."""
    failure = errors.Failure("taken", EXISTS, "ALREADY_EXISTS", metadata={"email": "1"})
    error = errors.to_error(failure)

    for copied in (copy.copy(error), pickle.loads(pickle.dumps(error))):  # noqa: S301 - our own
        assert isinstance(copied, errors.AlreadyExists)
        assert copied.clashes == {"email": "1"}
