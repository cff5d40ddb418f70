"""What an export asks for, and the parts that it is answered in."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from twc.customer.v2 import customer_service_pb2 as pb

from twc_customer_server.api import page_tokens
from twc_customer_server.customers import dates
from twc_customer_server.errors import InvalidInput, Violation
from twc_customer_server.storage.export import Export, Exported, Place

# The longest that a change may take from its time until it can be read, in milliseconds.
_MARGIN = 60_000


def read(request: pb.ExportCustomersRequest, tenant: str, now: datetime) -> Export:
    """Reads a request. Raises InvalidInput."""
    since = None
    if request.HasField("modified_since"):
        if wrong := dates.check_timestamp(request.modified_since):
            raise InvalidInput([Violation("modifiedSince", wrong)])
        since = request.modified_since.ToMilliseconds()
    scope = (tenant, since, request.include_deleted)
    began, after = dates.to_milliseconds(now), Place(modified_at=since or 0)
    if request.resume_token:
        began, after = _resumed(request.resume_token, scope)
    return Export(scope, since, request.include_deleted, began, after)


def response(export: Export, part: Iterable[Exported]) -> pb.ExportCustomersResponse:
    """A part of an export as a message."""
    answer = pb.ExportCustomersResponse()
    place = export.after
    for place, deleted_at, body in part:
        if deleted_at is None:
            answer.customers.add().MergeFromString(body)
        else:
            tombstone = answer.tombstones.add(id=place.id)
            tombstone.delete_time.FromMilliseconds(deleted_at)
    answer.resume_token = page_tokens.make(
        export.scope, f"{export.began} {place.modified_at} {place.id}"
    )
    answer.as_of.FromMilliseconds(export.began - _MARGIN)
    return answer


def _resumed(token: str, scope: tuple[object, ...]) -> tuple[int, Place]:
    try:
        read = page_tokens.read(token)
        began, modified_at, last = read.place.split(" ")
        dates.check_milliseconds(int(began) - _MARGIN, int(modified_at))
        after = Place(str(UUID(last)) if last else "", int(modified_at))
    except ValueError:
        raise _wrong("must be a token as an export before gave it") from None
    if not read.is_for(scope):
        raise _wrong("belongs to another export; repeat the fields it was given for")
    return int(began), after


def _wrong(description: str) -> InvalidInput:
    return InvalidInput([Violation("resumeToken", description)])
