"""Parses the request of an export, and builds its responses."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from twc.customer.v2 import customer_service_pb2 as pb

from twc_customer_server.api import page_tokens
from twc_customer_server.customers import fields
from twc_customer_server.errors import InvalidInput, Violation
from twc_customer_server.storage.export import Export, Exported, Place

# The time that a change may take to become visible, in milliseconds: `as_of` is as
# much before the export began.
_VISIBILITY_MILLISECONDS = 60_000


def parse(request: pb.ExportCustomersRequest, tenant: str, now: datetime) -> Export:
    """Parses a request. Raises InvalidInput."""
    since = None
    if request.HasField("modified_since"):
        if problem := fields.timestamp_problem(request.modified_since):
            raise InvalidInput([Violation("modifiedSince", problem)])
        since = request.modified_since.ToMilliseconds()
    scope = (tenant, since, request.include_deleted)
    began, after = fields.to_milliseconds(now), Place(modified_at=since or 0)
    if request.resume_token:
        began, after = _parse_resume_token(request.resume_token, scope)
    return Export(scope, since, request.include_deleted, began, after)


def response(export: Export, part: Iterable[Exported]) -> pb.ExportCustomersResponse:
    """Builds the response with a part of an export."""
    message = pb.ExportCustomersResponse()
    place = export.after
    for place, deleted_at, body in part:
        if deleted_at is None:
            message.customers.add().MergeFromString(body)
        else:
            tombstone = message.tombstones.add(id=place.id)
            tombstone.delete_time.FromMilliseconds(deleted_at)
    message.resume_token = page_tokens.make(
        export.scope, f"{export.began} {place.modified_at} {place.id}"
    )
    message.as_of.FromMilliseconds(export.began - _VISIBILITY_MILLISECONDS)
    return message


def _parse_resume_token(token: str, scope: tuple[object, ...]) -> tuple[int, Place]:
    try:
        parsed = page_tokens.parse(token)
        began, modified_at, last = parsed.place.split(" ")
        _check_times(int(began) - _VISIBILITY_MILLISECONDS, int(modified_at))
        after = Place(str(UUID(last)) if last else "", int(modified_at))
    except ValueError:
        raise _invalid_token("must be the resume_token of an earlier response") from None
    if not parsed.is_for(scope):
        raise _invalid_token("belongs to another export; repeat the fields of that request")
    return int(began), after


def _check_times(*milliseconds: int) -> None:
    """Raises ValueError unless all are times that a timestamp can hold."""
    if not all(fields.MIN_SECONDS <= time / 1000 <= fields.MAX_SECONDS for time in milliseconds):
        raise ValueError("must be times between the years 1 and 9999")


def _invalid_token(description: str) -> InvalidInput:
    return InvalidInput([Violation("resumeToken", description)])
