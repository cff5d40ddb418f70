"""Imports: stores batches of customers, or changes those that they clash with."""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain

from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from twc_customer_server import contract
from twc_customer_server.api.budgets import DetailsBudget, ViolationBudget
from twc_customer_server.api.bulk import Outcome, Prepare, Skipped, store_each, validate_each
from twc_customer_server.customers.customer import same_values_as
from twc_customer_server.errors import (
    AlreadyExists,
    InvalidInput,
    OutcomeUnknown,
    RequestTooLarge,
    ServiceError,
    Violation,
)
from twc_customer_server.storage.store import Commit, CustomerStore
from twc_customer_server.storage.upserts import Edit, Unchanged, Updated
from twc_customer_server.telemetry.families import IMPORTED
from twc_customer_server.telemetry.metrics import OwnMetrics

# The details of one item's error, at most: the response to a whole batch must
# stay below the 4 MiB that gRPC clients accept.
_MAX_ITEM_DETAILS_BYTES = 2048

_OnConflict = pb.ImportCustomersRequest.OnConflict

# Returns what the fields of a request's customer make of a stored one, or None if they
# change nothing; may modify the request. Raises ServiceError.
Revise = Callable[[Customer, Customer], Customer | None]


def import_batch(
    store: CustomerStore,
    tenant: str,
    request: pb.ImportCustomersRequest,
    prepare: Prepare,
    revise: Revise,
) -> pb.ImportCustomersResponse:
    """Stores a batch of an import, or only validates it; returns its results in order.

    Raises what `check_batch` raises, and OutcomeUnknown.
    """
    check_batch(request)
    try:
        if request.on_conflict == _OnConflict.UPDATE:
            outcomes = _upsert_each(store, tenant, request, prepare, revise)
        else:
            outcomes = _insert_each(store, tenant, request, prepare)
    except OutcomeUnknown as error:
        raise OutcomeUnknown("send the batch again, which stores no customer twice") from error
    response = import_response(request, outcomes)
    _count(response, store.metrics)
    return response


def check_batch(request: pb.ImportCustomersRequest) -> None:
    """Checks size and options of a batch. Raises InvalidInput and RequestTooLarge."""
    if not request.items:
        raise InvalidInput([Violation("items", "must have at least one customer")])
    if (
        len(request.items) > contract.MAX_BATCH_CUSTOMERS
        or request.ByteSize() > contract.MAX_BATCH_BYTES
    ):
        raise RequestTooLarge(contract.BATCH_TOO_LARGE)
    if request.on_conflict not in _OnConflict.values():
        raise InvalidInput([Violation("onConflict", "must be REJECT, SKIP or UPDATE")])


def import_response(
    request: pb.ImportCustomersRequest, outcomes: Sequence[Outcome]
) -> pb.ImportCustomersResponse:
    """Builds the response to a batch, with a result for each item in order."""
    budget = DetailsBudget(_MAX_ITEM_DETAILS_BYTES)
    return pb.ImportCustomersResponse(
        results=[
            _import_result(item.sequence, outcome, budget, validate_only=request.validate_only)
            for item, outcome in zip(request.items, outcomes, strict=True)
        ]
    )


def _count(response: pb.ImportCustomersResponse, metrics: OwnMetrics) -> None:
    """Counts the results of a batch."""
    for outcome, number in Counter(it.WhichOneof("outcome") for it in response.results).items():
        metrics.series(IMPORTED, str(outcome)).add(number)


def _insert_each(
    store: CustomerStore, tenant: str, request: pb.ImportCustomersRequest, prepare: Prepare
) -> list[Outcome]:
    """Inserts the valid customers; those that clash are unchanged, skipped or errors."""
    customers = [item.customer for item in request.items]
    validated = validate_each(customers, prepare)
    outcomes = store_each(store, tenant, validated, _commit_of(request))
    outcomes = _resolve_unchanged(store, tenant, customers, outcomes)
    if request.on_conflict != _OnConflict.SKIP:
        return outcomes
    return [
        Skipped(outcome.clashes[0].customer_id) if isinstance(outcome, AlreadyExists) else outcome
        for outcome in outcomes
    ]


def _resolve_unchanged(
    store: CustomerStore,
    tenant: str,
    customers: Sequence[Customer],
    outcomes: Sequence[Outcome],
) -> list[Outcome]:
    """Replaces a conflict with a customer of the same values by Unchanged.

    That customer may be an earlier one of the batch, which is not stored if
    the batch is only validated.
    """
    waiting: dict[str, list[int]] = {}
    for index, outcome in enumerate(outcomes):
        if isinstance(outcome, AlreadyExists) and (owner := outcome.only_owner()):
            waiting.setdefault(owner, []).append(index)
    in_batch = {it.id: it for it in outcomes if isinstance(it, Customer)}
    stored = store.get_each(tenant, sorted(waiting.keys() - in_batch.keys()))
    resolved = list(outcomes)
    for owner, existing in chain(in_batch.items(), stored):
        is_same = same_values_as(existing)
        for index in waiting.get(owner, ()):
            if is_same(customers[index]):
                resolved[index] = Unchanged(owner)
    return resolved


def _upsert_each(
    store: CustomerStore,
    tenant: str,
    request: pb.ImportCustomersRequest,
    prepare: Prepare,
    revise: Revise,
) -> list[Outcome]:
    """Inserts the valid customers, and edits those that they or the others conflict with.

    What is no valid new customer, such as one without an e-mail address, may be a valid change.
    """
    customers = [item.customer for item in request.items]
    # Preparing a customer fills in defaults, which an update must not set.
    edit = _edit_by([_copy(customer) for customer in customers], revise)
    validated = validate_each(customers, prepare)
    for customer, outcome in zip(customers, validated, strict=True):
        if isinstance(outcome, ServiceError):
            customer.ClearField("id")
    upserted = store.upsert_each(tenant, customers, edit, _commit_of(request))
    return [
        outcome if result is None else result
        for outcome, result in zip(validated, upserted, strict=True)
    ]


def _commit_of(request: pb.ImportCustomersRequest) -> Commit:
    return Commit.NEVER if request.validate_only else Commit.ALWAYS


def _edit_by(requested: Sequence[Customer], revise: Revise) -> Edit:
    """Returns the edit of a stored customer by the requested one at a position of a list."""
    budget = ViolationBudget()

    def edit(position: int, stored: Customer) -> Customer | None:
        try:
            return revise(stored, _copy(requested[position]))
        except InvalidInput as error:
            shown = error.violations[: budget.limit()]
            is_cut = error.is_cut or len(shown) < len(error.violations)
            cut = InvalidInput(shown, is_cut=is_cut)
            budget.use(cut)
            raise cut from None

    return edit


def _copy(customer: Customer) -> Customer:
    copy = Customer()
    copy.CopyFrom(customer)
    return copy


def _import_result(
    sequence: int, outcome: Outcome, budget: DetailsBudget, *, validate_only: bool
) -> pb.ImportResult:
    result = pb.ImportResult(sequence=sequence)
    match outcome:
        case ServiceError():
            result.error.CopyFrom(budget.to_status(outcome))
        case Unchanged():
            result.unchanged = outcome.customer_id
        case Skipped():
            result.skipped = outcome.customer_id
        case _ if validate_only:
            result.valid.SetInParent()
        case Updated():
            result.updated = outcome.customer_id
        case _:
            result.created = outcome.id
    return result
