"""Decides which failed calls are made again, and when.

gRPC's own retries, by service config, know neither reasons nor RetryInfo, nor whether a
write has an idempotency key; a call that the server has surely not seen they repeat as well.
"""

import logging
import math
import random
import time
from collections.abc import Callable
from typing import NoReturn
from uuid import uuid4

import grpc

from twc_customer_client.errors import CustomerError, OutcomeUnknown, read_rpc_error

_FIRST_BACKOFF_SECONDS = 0.25
_MAX_BACKOFF_SECONDS = 10.0

# The service cancels a stream that is idle for a minute, and this client one that does not
# respond in time: both are worth another try, if the call may be made twice.
_TRANSIENT = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
)

# The codes that grpcio reports when a connection breaks within a message.
_BROKEN_CONNECTION = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)

# With a reason, these say that nothing was changed.
_WITHOUT_EFFECT = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)

# Takes the failure, and the seconds until the next attempt.
OnRetry = Callable[[CustomerError, float], None]

_log = logging.getLogger("twc_customer_client")


def may_repeat(error: CustomerError, *, is_repeatable: bool) -> bool:
    """Tells whether a failed call is worth another attempt, and harms nothing.

    It is repeatable if two of it have the effect of one.
    """
    if error.reason and error.code in _WITHOUT_EFFECT:
        return True
    if not is_repeatable:
        return False
    if error.code in _TRANSIENT or error.retry_after or isinstance(error, OutcomeUnknown):
        return True
    return error.code in _BROKEN_CONNECTION and not error.reason


class Attempts:
    """The attempts of one call, or of one stream, which ends its failures by a response."""

    def __init__(
        self,
        name: str,
        *,
        is_repeatable: bool,
        seconds: float,
        deadline: float = math.inf,
        on_retry: OnRetry | None = None,
    ) -> None:
        """Repeats for `seconds` from the first failure on, and not beyond a deadline."""
        self._name = name
        self._is_repeatable = is_repeatable
        self._seconds = seconds
        self._deadline = deadline
        self._on_retry = on_retry
        self._failures = 0
        self._first_failure = 0.0
        # The last failure. No frame that it is raised from may refer to it: they would keep each
        # other, and the request, until the garbage collector finds them.
        self._last: list[CustomerError] = []
        # By which the logs of client and server have them.
        self.request_id = str(uuid4())
        self.token_was_renewed = False

    def remaining(self, seconds: float) -> float:
        """Returns the time for the next attempt: `seconds`, or less before the deadline."""
        return max(0.0, min(seconds, self._deadline - time.monotonic()))

    def succeed(self) -> None:
        """Notes a response: the next failure counts as the first."""
        self._failures = 0
        self.token_was_renewed = False

    def fail(self, error: grpc.RpcError) -> None:
        """Notes a failure."""
        # Frames of grpcio refer to the error.
        self._last = [read_rpc_error(error.with_traceback(None), self.request_id)]

    @property
    def code(self) -> grpc.StatusCode:
        """The code of the last failure."""
        return self._last[0].code

    def give_up(self) -> NoReturn:
        """Raises the last failure."""
        raise self._last.pop()

    def delay(self) -> float:
        """Returns the seconds until the next attempt. Raises the failure if there is to be none."""
        delay = self._delay_after(self._last[0])
        if delay is None:
            self.give_up()
        return delay

    def _delay_after(self, error: CustomerError) -> float | None:
        if not may_repeat(error, is_repeatable=self._is_repeatable):
            return None
        now = time.monotonic()
        if not self._failures:
            self._first_failure = now
        self._failures += 1
        delay = max(error.retry_after or 0.0, self._backoff())
        failing = now - self._first_failure
        if failing + delay > self._seconds or now + delay >= self._deadline:
            error.repeated_for = failing
            return None
        _log.info("%s failed, and is repeated in %.2f s: %s", self._name, delay, error)
        if self._on_retry:
            self._on_retry(error, delay)
        return delay

    def _backoff(self) -> float:
        """Returns the next delay, with jitter so that many clients do not retry at once."""
        doubled = _FIRST_BACKOFF_SECONDS * 2.0 ** min(self._failures - 1, 10)
        return min(_MAX_BACKOFF_SECONDS, doubled) * random.uniform(0.5, 1)  # noqa: S311 - no secret
