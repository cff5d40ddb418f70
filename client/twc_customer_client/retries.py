"""When to try again, and when to give up."""

import random
import time

from twc_customer_client.failures import Failure
from twc_customer_client.problems import Problem

_FIRST_SECONDS = 0.25
_LONGEST_SECONDS = 10.0


class Patience:
    """Waits between tries, longer each time, until nothing has gone well for `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._failures = 0
        self._since = 0.0

    def succeeded(self) -> None:
        """Notes that something went well: the next failure is a first one."""
        self._failures = 0

    def wait(self, failure: Failure) -> None:
        """Waits as long as the failure wants. Raises Problem when it has lasted too long."""
        now = time.monotonic()
        if not self._failures:
            self._since = now
        self._failures += 1
        pause = max(failure.wait, self._backoff())
        if now + pause - self._since > self._seconds:
            raise Problem(
                f"gave up after {now - self._since:.0f} seconds without an answer: "
                f"{failure.sentence()}"
            )
        time.sleep(pause)

    def _backoff(self) -> float:
        """Doubles each time; by chance a little less, so that many do not come at once."""
        whole = min(_LONGEST_SECONDS, _FIRST_SECONDS * 2.0 ** min(self._failures - 1, 10))
        return whole * random.uniform(0.5, 1)  # noqa: S311 - spreads load, hides nothing
