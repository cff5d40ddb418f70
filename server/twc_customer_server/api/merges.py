"""Parses the request of a merge, makes the merge, and builds its response."""

from collections.abc import Callable

from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from twc_customer_server.api import selectors
from twc_customer_server.api.idempotency import Answer
from twc_customer_server.api.selectors import etag, precondition_of
from twc_customer_server.customers import merging
from twc_customer_server.customers.context import ValidationContext
from twc_customer_server.customers.customer import set_server_fields
from twc_customer_server.errors import InvalidInput, Violation
from twc_customer_server.middleware.rpc import Call
from twc_customer_server.storage.merges import MergeStore, Pair


class Merge:
    """The merge that a request asks for."""

    def __init__(
        self,
        store: MergeStore,
        request: pb.MergeCustomersRequest,
        call: Call,
        context: Callable[[str], ValidationContext],
    ) -> None:
        """`context` returns what the rules need of a tenant. Raises InvalidInput."""
        self._store = store
        self._call = call
        self._context = context
        self._commit = not request.validate_only
        self._pair = _parse_pair(request)
        self._taken = merging.taken_fields(request.taken_fields)

    def run(self) -> bytes:
        """Makes the merge, or validates it; returns its answer, as it is kept for repeats."""
        condition = precondition_of(self._call)
        body, deleted_at = self._store.merge(
            self._call.tenant, self._pair, self._edit, condition, commit=self._commit
        )
        return f"{deleted_at} ".encode() + body

    def to_answer(self, answer: bytes) -> Answer:
        """Returns the answer of `run` as it is kept: what it has is of both customers."""
        return Answer([answer], self._pair)

    def respond(self, answer: bytes) -> pb.MergeCustomersResponse:
        """Returns the response with an answer of `run`."""
        deleted_at, _, body = answer.partition(b" ")
        response = pb.MergeCustomersResponse()
        response.customer.MergeFromString(body)
        response.dropped.id = self._pair.dropped
        response.dropped.merged_into = self._pair.kept
        if self._commit:
            response.dropped.delete_time.FromMilliseconds(int(deleted_at))
            self._call.set_status(200, ("etag", etag(body)))
        return response

    def _edit(self, kept: Customer, dropped: Customer) -> None:
        context = self._context(self._call.tenant)
        merging.merge(kept, dropped, self._taken, context)
        set_server_fields(kept, context.now)


def _parse_pair(request: pb.MergeCustomersRequest) -> Pair:
    """Returns the ids of two customers. Raises InvalidInput."""
    kept = selectors.parse_id("id", request.id)
    dropped = selectors.parse_id("droppedId", request.dropped_id)
    if kept == dropped:
        raise InvalidInput(
            [Violation("droppedId", "must be the id of another customer than the one in id")]
        )
    return Pair(kept, dropped)
