"""An upload: many new customers in one call, each with its own outcome."""

from collections.abc import Callable, Iterable, Iterator

from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from server.errors import RequestTooLarge, ServiceError, to_status

MAX_CUSTOMERS = 10_000
MAX_BYTES = 16 * 1024 * 1024

Outcome = Customer | ServiceError


def collect(requests: Iterable[pb.UploadCustomersRequest]) -> list[Customer]:
    """Reads an upload to its end. Raises RequestTooLarge."""
    customers: list[Customer] = []
    size = 0
    for request in requests:
        customers.append(request.customer)
        size += request.ByteSize()
        if len(customers) > MAX_CUSTOMERS or size > MAX_BYTES:
            raise RequestTooLarge(
                f"an upload takes at most {MAX_CUSTOMERS:,} customers and "
                f"{MAX_BYTES >> 20} MiB; send the rest in further uploads"
            )
    return customers


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


def results(outcomes: Iterable[Outcome]) -> Iterator[pb.UploadCustomersResult]:
    """Says the outcomes as messages, in order."""
    for index, outcome in enumerate(outcomes):
        if isinstance(outcome, ServiceError):
            yield pb.UploadCustomersResult(index=index, error=to_status(outcome))
        else:
            yield pb.UploadCustomersResult(index=index, customer=outcome)
