"""Returns the changes that follow a cursor, and waits for them."""

import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

from twc.customer.v2 import customer_service_pb2 as pb

from twc_customer_server import contract
from twc_customer_server.api import cursors, tombstones
from twc_customer_server.api.lookup import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from twc_customer_server.concurrency.shared_polls import SharedPolls
from twc_customer_server.errors import InvalidInput, Unavailable, Violation
from twc_customer_server.middleware.rpc import Call
from twc_customer_server.storage.changes import Change, ChangePlace, ChangeStore
from twc_customer_server.storage.export import PART_BYTES
from twc_customer_server.storage.statements import CHUNK_ROWS

# Time between looks for changes of a tenant.
_POLL_SECONDS = 0.25

# Time after which a stream tells that nothing has changed.
_HEARTBEAT_SECONDS = 15

_Request = pb.ListCustomerChangesRequest | pb.WatchCustomersRequest
_Response = TypeVar("_Response", pb.ListCustomerChangesResponse, pb.WatchCustomersResponse)


class ChangeFeed:
    """Reads the changes of every tenant. Threads that wait for one tenant share their looks."""

    def __init__(self, store: ChangeStore) -> None:
        self._store = store
        self._polls = SharedPolls(_POLL_SECONDS)

    def stop(self) -> None:
        """Ends all waiting: pages are answered as they are, and streams end."""
        self._polls.stop()

    def page(
        self, request: pb.ListCustomerChangesRequest, call: Call
    ) -> pb.ListCustomerChangesResponse:
        """Returns a page of changes; waits for them if asked. Raises what `_begin` raises."""
        size = min(request.page_size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
        _require_not_negative(pageSize=request.page_size, waitSeconds=request.wait_seconds)
        begin = self._begin(request, call.tenant)
        seconds = min(request.wait_seconds, contract.MAX_WAIT_SECONDS)
        found = self._await(call, begin.place, size, seconds)
        return _fill(pb.ListCustomerChangesResponse(), call.tenant, begin, found)

    def watch(
        self, request: pb.WatchCustomersRequest, call: Call
    ) -> Iterator[pb.WatchCustomersResponse]:
        """Yields changes while the call lasts. Raises what `_begin` raises, and Unavailable."""
        begin = self._begin(request, call.tenant)
        while call.is_active():
            found = self._await(call, begin.place, CHUNK_ROWS, _HEARTBEAT_SECONDS)
            if self._polls.is_stopped:
                raise Unavailable("the server stops; resume with the last cursor")
            yield _fill(pb.WatchCustomersResponse(), call.tenant, begin, found)
            if found:
                begin = begin._replace(place=found[-1].place)

    def _begin(self, request: _Request, tenant: str) -> cursors.Cursor:
        """Returns the cursor to begin with. Raises InvalidInput and CursorExpired."""
        if not request.HasField("cursor"):
            if not request.from_now:
                return cursors.Cursor(self._store.position(tenant).epoch, ChangePlace())
            return cursors.after_all(self._store.settle(tenant))
        if request.from_now:
            raise InvalidInput([Violation("fromNow", "must not be set beside cursor")])
        cursor = cursors.parse("cursor", request.cursor, tenant)
        cursors.require_current(cursor, self._store.position(tenant))
        return cursor

    def _await(self, call: Call, after: ChangePlace, size: int, seconds: float) -> list[Change]:
        """Reads changes; waits for the first while the call lasts and its token is valid."""
        found = self._read(call.tenant, after, size)
        if found or not seconds:
            return found

        def look() -> bool:
            found.extend(self._read(call.tenant, after, size))
            return bool(found)

        left = min(seconds, call.valid_until - time.time())
        self._polls.wait(call.tenant, look, left, call.is_active)
        return found

    def _read(self, tenant: str, after: ChangePlace, size: int) -> list[Change]:
        """Reads at most `size` changes of at most about PART_BYTES."""
        found: list[Change] = []
        room = PART_BYTES
        while True:
            limit = min(CHUNK_ROWS, size - len(found))
            rows = self._store.read(tenant, found[-1].place if found else after, limit)
            for change in rows:
                if found and len(change.body) > room:
                    return found
                found.append(change)
                room -= len(change.body)
            if len(rows) < limit or len(found) == size:
                return found


def _require_not_negative(**numbers: int) -> None:
    """Raises InvalidInput for numbers below zero."""
    below = [Violation(field, "must not be negative") for field, it in numbers.items() if it < 0]
    if below:
        raise InvalidInput(below)


def _fill(
    response: _Response, tenant: str, begin: cursors.Cursor, found: Sequence[Change]
) -> _Response:
    """Fills in the changes that follow a cursor, and the cursor that follows them."""
    last = begin.place
    for change in found:
        last = change.place
        message = response.changes.add()
        if change.deleted_at is not None:
            message.kind = pb.CustomerChange.DELETED
            tombstones.fill(message.tombstone, change.place.id, change.deleted_at, change.body)
            continue
        is_new = ChangePlace(change.created, change.place.id) > begin.place
        message.kind = pb.CustomerChange.CREATED if is_new else pb.CustomerChange.UPDATED
        message.customer.MergeFromString(change.body)
    response.next_cursor = cursors.make(tenant, begin._replace(place=last))
    return response
