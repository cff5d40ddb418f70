"""Queries of exports, their rows, and the parts that rows are sent in."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

# What a part of an export may have, far below what gRPC clients take.
PART_BYTES = 1024 * 1024


class Place(NamedTuple):
    """A customer that an export has come to: its id, and when it was modified."""

    id: str = ""
    modified_at: int = 0


class Export(NamedTuple):
    """An export ready to run; times are in milliseconds since the Unix epoch.

    `since` is None for all customers. None that came or changed after `began`
    is waited for.
    """

    scope: tuple[object, ...]
    since: int | None
    include_deleted: bool
    began: int
    after: Place


class Exported(NamedTuple):
    """A customer that an export found; one that was deleted has the time of that."""

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
