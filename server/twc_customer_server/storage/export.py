"""The query of an export, its rows, and their division into responses."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

# The size of a response, far below the message limit of gRPC clients.
PART_BYTES = 1024 * 1024


class Place(NamedTuple):
    """The position of an export: the id and modification time of the last customer sent."""

    id: str = ""
    modified_at: int = 0


class Export(NamedTuple):
    """The query of an export; times are in milliseconds since the Unix epoch.

    `since` is None for all customers. Customers that are created, or change,
    after `began` are not part of it.
    """

    scope: tuple[object, ...]
    since: int | None
    include_deleted: bool
    began: int
    after: Place


class Exported(NamedTuple):
    """A row of an export; `deleted_at` is set if the customer is deleted."""

    place: Place
    deleted_at: int | None
    body: bytes


def parts(found: Iterable[Exported]) -> Iterator[list[Exported]]:
    """Divides customers into parts of at most PART_BYTES, or one customer that is larger."""
    part: list[Exported] = []
    room = PART_BYTES
    for exported in found:
        if part and len(exported.body) > room:
            yield part
            part, room = [], PART_BYTES
        part.append(exported)
        room -= len(exported.body)
    if part:
        yield part
