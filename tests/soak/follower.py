"""A client that keeps a copy of a tenant's customers by the changes that it reads."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

from tests.soak.place import Answer, Caller, Place, calling
from tests.support.client import SECONDS
from tests.support.concurrency import in_background

_WAIT_SECONDS = 1
_PAUSE_SECONDS = 0.02


class Follower:
    """Reads changes all the time, and stores each page with the cursor that follows it."""

    def __init__(self, caller: Caller) -> None:
        self.faults: list[str] = []
        self.pages = 0
        self._caller = caller
        self._cursor = ""
        # The copy, by id, and the dates of the last changes.
        self._copy: dict[str, dict[str, Any]] = {}
        self._done, self._abandoned = threading.Event(), threading.Event()
        [self._following] = in_background([self._follow])

    def copy(self) -> list[dict[str, Any]]:
        """Reads all changes that there are, then returns the copy."""
        self._done.set()
        self._following.result(2 * SECONDS)
        return [*self._copy.values()]

    def close(self) -> None:
        """Ends the thread, whatever there is to read."""
        self._abandoned.set()
        self._done.set()
        self._following.exception(2 * SECONDS)

    def _follow(self) -> None:
        while not self._done.is_set():
            self._read(_WAIT_SECONDS)
        while self._read(0):
            pass

    def _read(self, wait: int) -> bool:
        """Reads a page, as often as it takes; tells whether it has changes."""
        query = {"waitSeconds": wait} | ({"cursor": self._cursor} if self._cursor else {})
        end = time.monotonic() + SECONDS
        while not (answer := self._get(query)).is_done:
            may_repeat = answer.is_unknown or answer.is_away
            if not may_repeat or time.monotonic() > end or self._abandoned.is_set():
                self.faults.append(f"changes were {answer}")
                return False
            time.sleep(_PAUSE_SECONDS)
        self.pages += 1
        for change in answer.value["changes"]:
            self._apply(change)
        self._cursor = answer.value["nextCursor"]
        return bool(answer.value["changes"])

    def _get(self, query: dict[str, Any]) -> Answer:
        return self._caller.rest("GET", f"/customers/changes?{urlencode(query)}")

    def _apply(self, change: dict[str, Any]) -> None:
        if change["kind"] == "DELETED":
            self._copy.pop(change["tombstone"]["id"], None)
            return
        customer = change["customer"]
        known = self._copy.get(customer["id"], customer)
        if customer["lastModifiedDate"] < known["lastModifiedDate"]:
            self.faults.append(f"{customer['email']} came in an older version")
        self._copy[customer["id"]] = customer


@contextmanager
def following(place: Place, tenant: str) -> Iterator[Follower]:
    """Has a client follow the changes of a tenant until the block is over."""
    with calling(place, tenant) as caller:
        follower = Follower(caller)
        try:
            yield follower
        finally:
            follower.close()
