"""Threads that run calls, in turn between tenants."""

import logging
import queue
import threading
from collections.abc import Callable

from twc_customer_server.concurrency.fair_queue import FairQueue

# No tenant ever takes this many of the threads.
_RESERVED_THREADS = 2

Task = Callable[[], object]

_log = logging.getLogger(__name__)


# A tenant, and whether the task is bulk work, which has a turn of its own.
Share = tuple[str, bool]


class Executor:
    """Runs tasks on a fixed number of threads, which serve the shares in turn.

    Some threads are always left for other tenants, and half of them for
    tasks that are not bulk. It has no Future and its locks per call, which
    saves a sixth of a short RPC's CPU.
    """

    def __init__(self, threads: int, name: str = "rpc") -> None:
        self._most_per_tenant = max(min(threads, 2), threads - _RESERVED_THREADS)
        self._most_bulk = max(1, threads // 2)
        self._lock = threading.Lock()
        # Tasks that wait for a thread: most often one at most, without a turn to wait for.
        self._only: tuple[Share, Task] | None = None
        self._queue: FairQueue[Share, Task] = FairQueue()
        self._running: dict[str, int] = {}
        self._running_bulk = 0
        # Has a token for each task that was not withheld. Threads compete for them, so that
        # one which ends a task takes the next before another has woken up.
        self._tokens: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._withheld = 0
        self._threads = threads
        for number in range(threads):
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True).start()

    def submit(self, tenant: str, task: Task, *, is_bulk: bool = False) -> None:
        """Runs a task when its tenant's turn comes and a thread is free."""
        work = (tenant, is_bulk), task
        with self._lock:
            if self._only is None and not self._queue:
                self._only = work
            else:
                self._queue_only()
                self._queue.add(*work)
        self._tokens.put(True)  # noqa: FBT003

    @property
    def queued(self) -> int:
        """The number of tasks that wait for a thread."""
        return self._tokens.qsize() + self._withheld

    def stop(self) -> None:
        """Ends the threads after the tasks that were submitted; does not wait for them."""
        for _ in range(self._threads):
            self._tokens.put(False)  # noqa: FBT003

    def _run(self) -> None:
        while self._tokens.get():
            with self._lock:
                work = self._start()
            while work is not None:
                share, task = work
                try:
                    task()
                except BaseException as error:  # noqa: BLE001 - the thread must serve the next call
                    _log.error("a call ended with %s", type(error).__name__)
                # Frees the request and response while the thread waits.
                del work, task
                with self._lock:
                    work = self._end(share)

    def _start(self) -> tuple[Share, Task] | None:
        """Takes a task for a token; withholds the token if none may run."""
        work = self._only
        if work and self._may_run(work[0]):
            self._only = None
        else:
            self._queue_only()
            work = self._queue.take(self._may_run)
        if work is None:
            self._withheld += 1
            return None
        tenant, is_bulk = work[0]
        self._running[tenant] = self._running.get(tenant, 0) + 1
        self._running_bulk += is_bulk
        return work

    def _end(self, share: Share) -> tuple[Share, Task] | None:
        """Notes the end of a task; returns one whose token was withheld, if it may run now."""
        tenant, is_bulk = share
        self._running_bulk -= is_bulk
        running = self._running.pop(tenant) - 1
        if running:
            self._running[tenant] = running
        if not self._withheld:
            return None
        self._withheld -= 1
        if is_bulk and self._withheld:
            # Another tenant's may run, too.
            self._withheld -= 1
            self._tokens.put(True)  # noqa: FBT003
        return self._start()

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
