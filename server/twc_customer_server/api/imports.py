"""An import: new customers in batches, without an end."""

from collections.abc import Iterable, Sequence

from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from twc_customer_server import contract
from twc_customer_server.errors import (
    InvalidInput,
    RequestTooLarge,
    ServiceError,
    Violation,
    to_status,
)

# What the details of one item's error may have: the answer to a whole batch
# must be less than the 4 MiB that gRPC clients take.
_DETAILS_BYTES = 2048


class Unchanged(str):
    """What became of a customer that was there already: the id of that one."""

    __slots__ = ()


Outcome = Customer | Unchanged | ServiceError


def check(request: pb.ImportCustomersRequest) -> None:
    """Refuses a batch that is empty or too large. Raises InvalidInput and RequestTooLarge."""
    if not request.items:
        raise InvalidInput([Violation("items", "must have at least one customer")])
    if (
        len(request.items) > contract.MAX_BATCH_CUSTOMERS
        or request.ByteSize() > contract.MAX_BATCH_BYTES
    ):
        raise RequestTooLarge(
            f"a batch takes at most {contract.MAX_BATCH_CUSTOMERS:,} customers and "
            f"{contract.MAX_BATCH_BYTES >> 20} MiB; "
            "send the rest in further batches"
        )


def response(
    request: pb.ImportCustomersRequest, outcomes: Sequence[Outcome]
) -> pb.ImportCustomersResponse:
    """Says the outcomes of a batch as a message, in its order."""
    return pb.ImportCustomersResponse(results=_results(request, outcomes))


def _results(
    request: pb.ImportCustomersRequest, outcomes: Sequence[Outcome]
) -> Iterable[pb.ImportResult]:
    for item, outcome in zip(request.items, outcomes, strict=True):
        result = pb.ImportResult(sequence=item.sequence)
        match outcome:
            case ServiceError():
                result.error.CopyFrom(to_status(outcome, _DETAILS_BYTES))
            case Unchanged():
                result.unchanged = outcome
            case _ if request.validate_only:
                result.valid.SetInParent()
            case _:
                result.created = outcome.id
        yield result
