"""Lists of customers, each with an outcome of its own: validates, stores and answers uploads."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from io import BytesIO
from typing import NamedTuple

from google.protobuf.proto import parse_length_prefixed, serialize_length_prefixed
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from twc_customer_server import contract
from twc_customer_server.api.budgets import DetailsBudget, ViolationBudget
from twc_customer_server.api.idempotency import Answer
from twc_customer_server.errors import (
    AlreadyExists,
    Clash,
    InvalidInput,
    RequestTooLarge,
    ServiceError,
    Violation,
    free_frames,
)
from twc_customer_server.storage.store import Commit, CustomerStore
from twc_customer_server.storage.upserts import Unchanged, Updated


class Skipped(NamedTuple):
    """The customer of an import is skipped, because it clashes with another one."""

    customer_id: str


# The outcome of one customer of a list: stored, a change of another one, left out, or
# refused.
Outcome = Customer | Updated | Unchanged | Skipped | ServiceError

# Validates a request's customer and completes it, in place, and stops at a number of
# violations. Raises InvalidInput.
Prepare = Callable[[Customer, int], object]


class Upload(NamedTuple):
    """The customers of an upload that are valid, the errors of the others in their places.

    It stores all of them or none if `atomic`.
    """

    validated: list[Outcome]
    atomic: bool


def collect(requests: Iterable[pb.UploadCustomersRequest], prepare: Prepare) -> Upload:
    """Reads an upload to its end, and validates each item when it comes.

    Of an invalid one only the error is kept, since a decoded customer may take
    a hundred times the bytes that it came in. Raises RequestTooLarge.
    """
    atomic, size = False, 0
    validated: list[Outcome] = []
    budget = ViolationBudget()
    for request in requests:
        atomic = atomic if validated else request.atomic
        size += request.ByteSize()
        if len(validated) == contract.MAX_UPLOAD_CUSTOMERS or size > contract.MAX_UPLOAD_BYTES:
            raise RequestTooLarge(
                f"an upload takes at most {contract.MAX_UPLOAD_CUSTOMERS:,} customers and "
                f"{contract.MAX_UPLOAD_BYTES >> 20} MiB; "
                "the streaming RPC ImportCustomers takes any number"
            )
        validated.append(_validate(request.customer, prepare, budget))
    return Upload(validated, atomic)


def validate_each(customers: Iterable[Customer], prepare: Prepare) -> list[Outcome]:
    """Prepares each customer in place; returns it, or its error."""
    budget = ViolationBudget()
    return [_validate(customer, prepare, budget) for customer in customers]


def store_each(
    store: CustomerStore, tenant: str, validated: Sequence[Outcome], commit: Commit
) -> list[Outcome]:
    """Inserts the valid customers in one transaction; returns the outcomes of all."""
    valid = [outcome for outcome in validated if isinstance(outcome, Customer)]
    if not valid:
        return list(validated)
    if commit is Commit.IF_ALL and len(valid) < len(validated):
        # The valid ones are inserted, and rolled back, for their conflicts.
        commit = Commit.NEVER
    conflicts = iter(store.insert_each(tenant, valid, commit))
    return [
        (next(conflicts) or outcome) if isinstance(outcome, Customer) else outcome
        for outcome in validated
    ]


def store_upload(store: CustomerStore, tenant: str, upload: Upload) -> list[Outcome]:
    """Stores the valid customers of an upload; returns the outcomes of all in order.

    Raises InvalidInput or AlreadyExists, with the problems of every item, if
    an atomic upload cannot store all.
    """
    commit = Commit.IF_ALL if upload.atomic else Commit.ALWAYS
    outcomes = store_each(store, tenant, upload.validated, commit)
    if upload.atomic and (error := combined_error(upload.validated, outcomes)):
        raise error
    return outcomes


def upload_results(outcomes: Iterable[Outcome]) -> Iterator[pb.UploadCustomersResult]:
    """Builds the results of an upload, in order, each when it is sent: it has a copy."""
    budget = DetailsBudget()
    for index, outcome in enumerate(outcomes):
        yield _upload_result(index, outcome, budget)


def combined_error(
    validated: Sequence[Outcome], outcomes: Sequence[Outcome]
) -> ServiceError | None:
    """Combines the errors of an atomic upload into one, with paths led by the item's index."""
    positions = {
        customer.id: f"[{index}]"
        for index, customer in enumerate(validated)
        if isinstance(customer, Customer)
    }
    violations: list[Violation] = []
    clashes: list[Clash] = []
    is_cut = False
    for index, outcome in enumerate(outcomes):
        prefix = f"[{index}]."
        if isinstance(outcome, InvalidInput):
            is_cut = is_cut or outcome.is_cut
            violations += [
                Violation(prefix + it.field, it.description) for it in outcome.violations
            ]
        elif isinstance(outcome, AlreadyExists):
            clashes += [
                Clash(prefix + field, positions.get(owner, owner))
                for field, owner in outcome.clashes
            ]
    if not violations:
        return AlreadyExists(clashes) if clashes else None
    violations += [Violation(field, f"is that of customer {owner}") for field, owner in clashes]
    return InvalidInput(violations, is_cut=is_cut)


def to_answer(outcomes: Sequence[Outcome]) -> Answer:
    """Returns the results of an upload as they are kept for repeats."""
    ids = [outcome.id for outcome in outcomes if isinstance(outcome, Customer)]
    return Answer(encode(upload_results(outcomes)), ids)


def encode(results: Iterable[pb.UploadCustomersResult]) -> list[bytes]:
    """Encodes each result of an upload, with its length before it."""
    return [_encode(result) for result in results]


def decode(encoded: bytes) -> list[pb.UploadCustomersResult]:
    """Decodes the joined results of an upload."""
    rest = BytesIO(encoded)
    return [*iter(lambda: parse_length_prefixed(pb.UploadCustomersResult, rest), None)]


def _validate(customer: Customer, prepare: Prepare, budget: ViolationBudget) -> Outcome:
    """Prepares a customer in place; returns it, or its error."""
    try:
        prepare(customer, budget.limit())
    except ServiceError as error:
        budget.use(error)
        # Its frames would keep the customer.
        free_frames(error)
        return error
    return customer


def _encode(result: pb.UploadCustomersResult) -> bytes:
    encoded = BytesIO()
    serialize_length_prefixed(result, encoded)
    return encoded.getvalue()


def _upload_result(index: int, outcome: Outcome, budget: DetailsBudget) -> pb.UploadCustomersResult:
    if isinstance(outcome, ServiceError):
        return pb.UploadCustomersResult(index=index, error=budget.to_status(outcome))
    assert isinstance(outcome, Customer)  # noqa: S101 - only an import leaves one unchanged
    return pb.UploadCustomersResult(index=index, customer=outcome)
