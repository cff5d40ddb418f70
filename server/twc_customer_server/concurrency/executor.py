"""Threads that run calls, in turn between tenants."""

import logging
import queue
import threading
from collections.abc import Callable
from typing import TypeVar

from twc_customer_server.concurrency.fair_queue import FairQueue

# No tenant ever has this many of the places.
_RESERVED_PLACES = 2

Task = Callable[[], object]
T = TypeVar("T")

_log = logging.getLogger(__name__)


# A tenant, and whether the task is bulk work, which has a turn of its own.
Share = tuple[str, bool]


class _Running(threading.local):
    """The executor of the calling thread, and the share that it runs a task of."""

    executor: "Executor | None" = None
    share: Share


_running = _Running()


def run_waiting(wait: Callable[[], T]) -> T:
    """Runs what waits for something, while another task may have the place of the calling one."""
    executor = _running.executor
    if executor is None:
        return wait()
    return executor.run_waiting(wait, _running.share)


class Executor:
    """Runs tasks in a fixed number of places, which serve the shares in turn.

    Some places are always left for other tenants, and half of them for tasks
    that are not bulk. Spare threads run tasks in the places of those that
    wait, which go on in addition when they have waited. It has no Future and
    its locks per call, which saves a sixth of a short RPC's CPU.
    """

    def __init__(self, places: int, name: str = "rpc", spare_threads: int = 0) -> None:
        self._most_per_tenant = max(min(places, 2), places - _RESERVED_PLACES)
        self._most_bulk = max(1, places // 2)
        self._lock = threading.Lock()
        # Below 0 while tasks that have waited are more than there are places.
        self._free = places
        self._spare = spare_threads
        # Tasks that wait for a place: most often one at most, without a turn to wait for.
        self._only: tuple[Share, Task] | None = None
        self._queue: FairQueue[Share, Task] = FairQueue()
        self._running: dict[str, int] = {}
        self._running_bulk = 0
        # Has a token for each place that a thread is to take. A thread that ends a task takes
        # the next before another has woken up.
        self._tokens: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._threads = places + spare_threads
        for number in range(self._threads):
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True).start()

    def submit(self, tenant: str, task: Task, *, is_bulk: bool = False) -> None:
        """Runs a task when its tenant's turn comes and a place is free."""
        work = (tenant, is_bulk), task
        with self._lock:
            if self._only is None and not self._queue:
                self._only = work
            else:
                self._queue_only()
                self._queue.add(*work)
            self._fill_free()

    def run_waiting(self, wait: Callable[[], T], share: Share) -> T:
        """Runs what a task of a share waits for; another one has its place meanwhile.

        Bulk work keeps its place: it has more to do when it has waited.
        """
        tenant, is_bulk = share
        with self._lock:
            is_replaced = self._spare > 0 and not is_bulk
            if is_replaced:
                self._spare -= 1
                self._leave(tenant)
                self._free += 1
                self._fill_free()
        try:
            return wait()
        finally:
            if is_replaced:
                with self._lock:
                    self._spare += 1
                    self._enter(tenant)
                    self._free -= 1

    @property
    def queued(self) -> int:
        """The number of tasks that wait for a place."""
        with self._lock:
            return sum(map(len, self._queue.values())) + (self._only is not None)

    def stop(self) -> None:
        """Ends the threads after the tasks that were submitted; does not wait for them."""
        with self._lock:
            # No place is given up any more, which no thread would take.
            self._spare -= self._threads
        for _ in range(self._threads):
            self._tokens.put(False)  # noqa: FBT003

    def _run(self) -> None:
        _running.executor = self
        while self._tokens.get():
            with self._lock:
                work = self._start()
            while work is not None:
                share, task = work
                _running.share = share
                try:
                    task()
                except BaseException as error:  # noqa: BLE001 - the thread must serve the next call
                    _log.error("a call ended with %s", type(error).__name__)
                # Frees the request and response while the thread waits.
                del work, task
                with self._lock:
                    work = self._end(share)

    def _fill_free(self) -> None:
        """Has a thread take a place that is free, if a task waits."""
        if self._free > 0 and (self._only or self._queue):
            self._free -= 1
            self._tokens.put(True)  # noqa: FBT003

    def _start(self) -> tuple[Share, Task] | None:
        """Takes a task for a place; frees the place if none may run."""
        work = self._only
        if work and self._may_run(work[0]):
            self._only = None
        else:
            self._queue_only()
            work = self._queue.take(self._may_run)
        if work is None:
            self._free += 1
            return None
        tenant, is_bulk = work[0]
        self._enter(tenant)
        self._running_bulk += is_bulk
        return work

    def _end(self, share: Share) -> tuple[Share, Task] | None:
        """Notes the end of a task; returns the next one of its place."""
        tenant, is_bulk = share
        self._leave(tenant)
        self._running_bulk -= is_bulk
        if self._free < 0:
            self._free += 1
            return None
        if is_bulk:
            # Another tenant's may run, too.
            self._fill_free()
        return self._start()

    def _enter(self, tenant: str) -> None:
        self._running[tenant] = self._running.get(tenant, 0) + 1

    def _leave(self, tenant: str) -> None:
        running = self._running.pop(tenant) - 1
        if running:
            self._running[tenant] = running

    def _queue_only(self) -> None:
        """Queues the task that has waited alone, if there is one, before others do."""
        if self._only:
            self._queue.add(*self._only)
            self._only = None

    def _may_run(self, share: Share) -> bool:
        tenant, is_bulk = share
        if is_bulk and self._running_bulk >= self._most_bulk:
            return False
        return self._running.get(tenant, 0) < self._most_per_tenant
