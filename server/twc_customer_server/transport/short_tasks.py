"""A thread for short work that anyone can cause: of callers who are not known, and refusals."""

import logging
import queue
import threading
import time
from collections.abc import Callable

Task = Callable[[], object]

# The thread rests so many times as long as each task has taken, but not for longer than this.
REST_TIMES = 2
MOST_REST_SECONDS = 0.05

_log = logging.getLogger(__name__)


class ShortTasks:
    """Runs tasks one after the other, and leaves others most of the time in between.

    Whatever number there is, and however slow the machine, the thread has the
    interpreter for a third of the time at most. More threads would only wait for it.
    """

    def __init__(self) -> None:
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="short-tasks", daemon=True).start()

    def submit(self, task: Task) -> None:
        """Runs a task when those before have ended."""
        self._tasks.put(task)

    @property
    def queued(self) -> int:
        """The number of tasks that wait."""
        return self._tasks.qsize()

    def stop(self) -> None:
        """Ends the thread after the tasks that were submitted; does not wait for it."""
        self._tasks.put(None)

    def _run(self) -> None:
        while task := self._tasks.get():
            began = time.monotonic()
            try:
                task()
            except BaseException as error:  # noqa: BLE001 - the thread must run the next task
                _log.error("a task ended with %s", type(error).__name__)
            # Frees the request and response while the thread waits.
            del task
            time.sleep(min(REST_TIMES * (time.monotonic() - began), MOST_REST_SECONDS))
