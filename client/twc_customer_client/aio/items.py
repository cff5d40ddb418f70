"""Iterators over what many calls, or a stream, return."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Self, TypeVar

from twc_customer_client.calls import Position

T = TypeVar("T")


class AsyncItems(AsyncIterator[T]):
    """Iterates over items, and ends its call when it is closed or no longer used.

    `cursor` is where to go on after the items so far: of changes, after those
    that were taken; of an export, once it is complete, with later changes; of a
    list, the token of the next page. It is empty until there is one.
    """

    def __init__(self, items: AsyncGenerator[T], position: Position) -> None:
        self._items = items
        self._position = position

    @property
    def cursor(self) -> str:
        """Where to go on, empty until that is known."""
        return self._position.cursor

    async def __anext__(self) -> T:
        return await anext(self._items)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the iteration, and the call that it reads from."""
        await self._items.aclose()
