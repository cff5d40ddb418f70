# Made of `aio/items.py` by `make format`: change that.
"""Iterators over what many calls, or a stream, return."""

from collections.abc import Generator, Iterator
from typing import Self, TypeVar

from twc_customer_client.calls import Position

T = TypeVar("T")


class Items(Iterator[T]):
    """Iterates over items, and ends its call when it is closed or no longer used.

    `cursor` is where to go on after the items so far: of changes, after those
    that were taken; of an export, once it is complete, with later changes; of a
    list, the token of the next page. It is empty until there is one.
    """

    def __init__(self, items: Generator[T], position: Position) -> None:
        self._items = items
        self._position = position

    @property
    def cursor(self) -> str:
        """Where to go on, empty until that is known."""
        return self._position.cursor

    def __next__(self) -> T:
        return next(self._items)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the iteration, and the call that it reads from."""
        self._items.close()
