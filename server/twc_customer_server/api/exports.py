"""Parses the request of an export, and builds its responses."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from twc.customer.v2 import customer_service_pb2 as pb

from twc_customer_server.api import cursors, page_tokens, tombstones
from twc_customer_server.api.encoded import with_customers
from twc_customer_server.customers import fields
from twc_customer_server.errors import InvalidInput, Violation
from twc_customer_server.storage.changes import Position
from twc_customer_server.storage.export import Export, Exported, Order, Place

# The time that a change may take to become visible, in milliseconds: `as_of` is as
# much before the export began.
_VISIBILITY_MILLISECONDS = 60_000

# Returns the position of an export that begins, and the last of all ids.
Begin = Callable[[], tuple[Position, str]]


class Beginning(NamedTuple):
    """When an export began, in milliseconds since the epoch, and what there was then."""

    time: int
    position: Position
    last_id: str


class ExportRequest(NamedTuple):
    """A parsed request; `scope` is what a resume token is bound to."""

    tenant: str
    scope: tuple[object, ...]
    beginning: Beginning
    export: Export


def parse(
    request: pb.ExportCustomersRequest, tenant: str, begin: Begin, now: datetime
) -> ExportRequest:
    """Parses a request. Raises InvalidInput and CursorExpired."""
    order, first = Order.ID, Place("")
    cursor = None
    if request.HasField("cursor"):
        if request.HasField("modified_since"):
            raise InvalidInput([Violation("modifiedSince", "must not be set beside cursor")])
        cursor = cursors.parse("cursor", request.cursor, tenant)
        order, first = Order.CHANGE, Place(*cursor.place)
    elif request.HasField("modified_since"):
        if problem := fields.timestamp_problem(request.modified_since):
            raise InvalidInput([Violation("modifiedSince", problem)])
        order, first = Order.MODIFIED_AT, Place(request.modified_since.ToMilliseconds())
    scope = (tenant, order.value, first, request.include_deleted)
    if request.resume_token:
        beginning, after = _parse_resume_token(request.resume_token, scope, order)
    else:
        beginning, after = Beginning(fields.to_milliseconds(now), *begin()), first
    if cursor:
        cursors.require_current(cursor, beginning.position)
    until: dict[Order, str | int] = {
        Order.ID: beginning.last_id,
        Order.MODIFIED_AT: beginning.time,
        Order.CHANGE: beginning.position.last,
    }
    export = Export(order, after, until[order], request.include_deleted)
    return ExportRequest(tenant, scope, beginning, export)


def response(request: ExportRequest, part: Iterable[Exported]) -> bytes:
    """Encodes the response with a part of an export."""
    message = pb.ExportCustomersResponse()
    bodies: list[bytes] = []
    place = request.export.after
    for place, deleted_at, body in part:
        if deleted_at is None:
            bodies.append(body)
        else:
            tombstones.fill(message.tombstones.add(), place.id, deleted_at, body)
    time, position, last_id = request.beginning
    began = f"{time} {position.epoch} {position.last} {last_id}"
    message.resume_token = page_tokens.make(request.scope, f"{began} {place.value} {place.id}")
    message.as_of.FromMilliseconds(time - _VISIBILITY_MILLISECONDS)
    message.next_cursor = cursors.make(request.tenant, cursors.after_all(position))
    return with_customers(message, bodies)


def _parse_resume_token(
    token: str, scope: tuple[object, ...], order: Order
) -> tuple[Beginning, Place]:
    try:
        parsed = page_tokens.parse(token)
        time, epoch, last, last_id, value, customer_id = parsed.place.split(" ")
        _check_times(int(time) - _VISIBILITY_MILLISECONDS)
        beginning = Beginning(
            int(time), Position(epoch, cursors.parse_number(last)), _parse_id(last_id)
        )
        if order is Order.ID:
            after = Place(_parse_id(value), _parse_id(customer_id))
        else:
            after = Place(cursors.parse_number(value), _parse_id(customer_id))
    except ValueError:
        raise _invalid_token("must be the resume_token of an earlier response") from None
    if not parsed.is_for(scope):
        raise _invalid_token("belongs to another export; repeat the fields of that request")
    return beginning, after


def _parse_id(text: str) -> str:
    """Returns the id of a customer, or an empty text. Raises ValueError."""
    return str(UUID(text)) if text else ""


def _check_times(*milliseconds: int) -> None:
    """Raises ValueError unless all are times that a timestamp can hold."""
    if not all(fields.MIN_SECONDS <= time // 1000 <= fields.MAX_SECONDS for time in milliseconds):
        raise ValueError("must be times between the years 1 and 9999")


def _invalid_token(description: str) -> InvalidInput:
    return InvalidInput([Violation("resumeToken", description)])
