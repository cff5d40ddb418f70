"""An upload: many new customers in one call, each with its own outcome, or all with one."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from io import BytesIO
from typing import NamedTuple

from google.protobuf.proto import parse_length_prefixed, serialize_length_prefixed
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from twc_customer_server import contract
from twc_customer_server.errors import (
    AlreadyExists,
    Clash,
    InvalidInput,
    RequestTooLarge,
    ServiceError,
    Violation,
    to_status,
)

Outcome = Customer | ServiceError


class Upload(NamedTuple):
    """A list of new customers, and whether to store all of them or none."""

    items: list[pb.UploadCustomersRequest]
    atomic: bool


def collect(requests: Iterable[pb.UploadCustomersRequest]) -> Upload:
    """Reads an upload to its end. Raises RequestTooLarge."""
    items: list[pb.UploadCustomersRequest] = []
    size = 0
    for request in requests:
        items.append(request)
        size += request.ByteSize()
        if len(items) > contract.MAX_UPLOAD_CUSTOMERS or size > contract.MAX_UPLOAD_BYTES:
            raise RequestTooLarge(
                f"an upload takes at most {contract.MAX_UPLOAD_CUSTOMERS:,} customers and "
                f"{contract.MAX_UPLOAD_BYTES >> 20} MiB; "
                "the streaming RPC ImportCustomers takes any number"
            )
    return Upload(items, atomic=bool(items) and items[0].atomic)


def prepare(customers: Iterable[Customer], ready: Callable[[Customer], object]) -> list[Outcome]:
    """Makes each customer ready to be stored, in place, or says why it cannot be."""
    outcomes: list[Outcome] = []
    for customer in customers:
        try:
            ready(customer)
            outcomes.append(customer)
        except ServiceError as error:
            outcomes.append(error)
    return outcomes


def merged(outcomes: Iterable[Outcome], refusals: Iterable[AlreadyExists | None]) -> list[Outcome]:
    """Puts what kept customers out in the place of those that were ready to be stored."""
    refused = iter(refusals)
    return [
        (next(refused) or outcome) if isinstance(outcome, Customer) else outcome
        for outcome in outcomes
    ]


def results(outcomes: Iterable[Outcome]) -> Iterator[pb.UploadCustomersResult]:
    """Says the outcomes as messages, in order."""
    for index, outcome in enumerate(outcomes):
        if isinstance(outcome, ServiceError):
            yield pb.UploadCustomersResult(index=index, error=to_status(outcome))
        else:
            yield pb.UploadCustomersResult(index=index, customer=outcome)


def encode(results: Iterable[pb.UploadCustomersResult]) -> bytes:
    """Results as bytes, to be kept."""
    kept = BytesIO()
    for result in results:
        serialize_length_prefixed(result, kept)
    return kept.getvalue()


def decode(kept: bytes) -> list[pb.UploadCustomersResult]:
    """Results that were kept."""
    rest = BytesIO(kept)
    return [*iter(lambda: parse_length_prefixed(pb.UploadCustomersResult, rest), None)]


def refusal(customers: Sequence[Customer], outcomes: Sequence[Outcome]) -> ServiceError | None:
    """What is wrong with any customer of an upload that stores all or none, in one error."""
    # What is not valid may still have the id that its client gave it.
    places = {
        customer.id: f"[{place}]"
        for place, (customer, outcome) in enumerate(zip(customers, outcomes, strict=True))
        if not isinstance(outcome, InvalidInput)
    }
    refused = [
        (f"[{place}].", outcome)
        for place, outcome in enumerate(outcomes)
        if isinstance(outcome, ServiceError)
    ]
    if not refused:
        return None
    clashes = [
        Clash(prefix + field, places.get(owner, owner))
        for prefix, outcome in refused
        if isinstance(outcome, AlreadyExists)
        for field, owner in outcome.clashes
    ]
    if all(isinstance(outcome, AlreadyExists) for _, outcome in refused):
        return AlreadyExists(clashes)
    return InvalidInput(
        [
            *(
                Violation(prefix + field, description)
                for prefix, outcome in refused
                if isinstance(outcome, InvalidInput)
                for field, description in outcome.violations
            ),
            *(Violation(field, f"is that of customer {owner}") for field, owner in clashes),
        ]
    )
