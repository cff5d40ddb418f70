"""A queue that serves shares in turn."""

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from contextlib import suppress
from typing import TypeVar

Share = TypeVar("Share", bound=Hashable)
Item = TypeVar("Item")


class FairQueue(dict[Share, deque[Item]]):
    """Queues items by share; shares take turns, and the items of one are first in, first out.

    It has the shares that have items, in the order of their turns.
    """

    def count(self, share: Share) -> int:
        """Returns the number of a share's items."""
        return len(self.get(share, ()))

    def add(self, share: Share, item: Item) -> None:
        """Adds an item to a share."""
        queue = self.get(share)
        if queue is None:
            self[share] = deque((item,))
        else:
            queue.append(item)

    def put_back(self, taken: Iterable[tuple[Share, Item]]) -> None:
        """Has items that were taken be the next ones, in their order."""
        rest = dict(self)
        self.clear()
        for share, item in taken:
            self.add(share, item)
        for share, queue in rest.items():
            self.setdefault(share, deque()).extend(queue)

    def discard(self, share: Share, item: Item) -> None:
        """Removes an item of a share if it is there."""
        queue = self.get(share, deque())
        with suppress(ValueError):
            queue.remove(item)
            if not queue:
                del self[share]

    def take_surplus(self, share: Share) -> Item | None:
        """Removes and returns the last item of the share with the most.

        There is none if `share` has as many when it gets one more.
        """
        largest = max(self, key=self.count, default=share)
        if self.count(largest) <= self.count(share) + 1:
            return None
        return self[largest].pop()

    def take(self, may: Callable[[Share], bool] = lambda _: True) -> tuple[Share, Item] | None:
        """Removes and returns the next item, of the first share that may have its turn."""
        for share, queue in self.items():
            if may(share):
                item = queue.popleft()
                del self[share]
                if queue:
                    self[share] = queue
                return share, item
        return None
