"""Batches of ImportCustomers, and a stream of them that answers one by one."""

import queue
from typing import Any

from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from tests.support.client import Client

Batch = pb.ImportCustomersRequest


def batch(
    *customers: Customer | None,
    first: int = 0,
    check: bool = False,
    on_conflict: pb.ImportCustomersRequest.OnConflict | None = None,
) -> Batch:
    """A batch of customers with sequence numbers from `first`."""
    items = [
        pb.ImportItem(sequence=number, customer=it) for number, it in enumerate(customers, first)
    ]
    return Batch(items=items, validate_only=check, on_conflict=on_conflict)


def outcomes(answer: pb.ImportCustomersResponse) -> list[str]:
    """What became of each item."""
    return [str(it.WhichOneof("outcome")) for it in answer.results]


class ImportStream:
    """An import that goes on until it is told to end."""

    def __init__(self, client: Client) -> None:
        self._batches: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self.call: Any = client.import_(iter(self._batches.get, None))

    def send(self, *customers: Customer | None) -> pb.ImportCustomersResponse:
        """Sends a batch and waits for its answer."""
        self._batches.put(batch(*customers))
        answer: pb.ImportCustomersResponse = next(self.call)
        return answer

    def end(self) -> None:
        """Ends the stream."""
        self._batches.put(None)
