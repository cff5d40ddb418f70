"""Cursors of changes: each names a change, after which a reader continues."""

from typing import NamedTuple
from uuid import UUID

from twc_customer_server.api import page_tokens
from twc_customer_server.errors import CursorExpired, InvalidInput, Violation
from twc_customer_server.storage.changes import ChangePlace, Position

# The highest number that the database holds.
_MAX_NUMBER = (1 << 63) - 1


class Cursor(NamedTuple):
    """A parsed cursor: the epoch of its number, and the place of the change."""

    epoch: str
    place: ChangePlace


def make(tenant: str, cursor: Cursor) -> str:
    """Returns the text of a cursor, for clients."""
    place = cursor.place
    return page_tokens.make(_scope(tenant), f"{cursor.epoch} {place.number} {place.id}")


def after_all(position: Position) -> Cursor:
    """Returns the cursor that follows all changes up to a position."""
    # The place before the first id of the next number.
    return Cursor(position.epoch, ChangePlace(position.last + 1))


def parse(field: str, text: str, tenant: str) -> Cursor:
    """Parses a cursor, which is the value of a field. Raises InvalidInput."""
    try:
        parsed = page_tokens.parse(text)
        epoch, number, last = parsed.place.split(" ")
        place = ChangePlace(parse_number(number), str(UUID(last)) if last else "")
    except ValueError:
        problem = "must be a cursor that this API returned"
        raise InvalidInput([Violation(field, problem)]) from None
    if not parsed.is_for(_scope(tenant)):
        raise InvalidInput([Violation(field, "is a cursor of another tenant")])
    return Cursor(epoch, place)


def parse_number(text: str) -> int:
    """Parses a number that the database can hold. Raises ValueError."""
    number = int(text)
    if abs(number) > _MAX_NUMBER:
        raise ValueError("out of range")
    return number


def require_current(cursor: Cursor, position: Position) -> None:
    """Raises CursorExpired unless the cursor's changes are those of a tenant's position."""
    if cursor.epoch != position.epoch or cursor.place.number > position.last + 1:
        raise CursorExpired


def _scope(tenant: str) -> tuple[str, str]:
    return (tenant, "changes")
