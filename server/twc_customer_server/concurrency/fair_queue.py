"""A queue that serves shares in turn."""

from collections import deque
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Generic, TypeVar

Share = TypeVar("Share", bound=Hashable)
Item = TypeVar("Item")


class FairQueue(Generic[Share, Item]):
    """Queues items by share; shares take turns, and the items of one are first in, first out."""

    def __init__(self) -> None:
        # Those with items, in the order of their turns.
        self._shares: dict[Share, deque[Item]] = {}

    def __contains__(self, share: Share) -> bool:
        return share in self._shares

    def __len__(self) -> int:
        """Returns the number of shares that have items."""
        return len(self._shares)

    def count(self, share: Share) -> int:
        """Returns the number of a share's items."""
        return len(self._shares.get(share, ()))

    def add(self, share: Share, item: Item) -> None:
        """Adds an item to a share."""
        queue = self._shares.get(share)
        if queue is None:
            self._shares[share] = deque((item,))
        else:
            queue.append(item)

    def discard(self, share: Share, item: Item) -> None:
        """Removes an item of a share if it is there."""
        queue = self._shares.get(share, deque())
        with suppress(ValueError):
            queue.remove(item)
            if not queue:
                del self._shares[share]

    def take_surplus(self, share: Share) -> Item | None:
        """Removes and returns the last item of the share with the most.

        There is none if `share` has as many when it gets one more.
        """
        largest = max(self._shares, key=self.count, default=share)
        if self.count(largest) <= self.count(share) + 1:
            return None
        return self._shares[largest].pop()

    def take(self, may: Callable[[Share], bool] = lambda _: True) -> tuple[Share, Item] | None:
        """Removes and returns the next item, of the first share that may have its turn."""
        for share, queue in self._shares.items():
            if may(share):
                item = queue.popleft()
                del self._shares[share]
                if queue:
                    self._shares[share] = queue
                return share, item
        return None
