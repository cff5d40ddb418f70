"""Purges what has expired: one process at a time, tenant by tenant, in small batches."""

import logging
import random
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from twc_customer_server.errors import OutcomeUnknown, Unavailable
from twc_customer_server.storage.database import Database
from twc_customer_server.storage.lease import Lease
from twc_customer_server.telemetry.metrics import PurgeMetrics

# Rows that one commit purges: more would hold up other writes for too long.
BATCH_ROWS = 200

# Seconds between passes, and between tries while a pass fails or is another process's.
PERIOD_SECONDS = 3600
RETRY_SECONDS = 60

# Seconds that the lease lasts without being renewed, after which another process goes on.
TERM_SECONDS = 60
_RENEWAL_SECONDS = 15

# Beyond any lease that clocks which nearly agree could have written, in milliseconds.
_LONGEST_LEASE = 2 * PERIOD_SECONDS * 1000

# The pause after a batch, as a multiple of its time, and at least: the rest is for others.
_PAUSE_RATIO = 1
_MIN_PAUSE_SECONDS = 0.005

_LOST = (Unavailable, OutcomeUnknown)

_log = logging.getLogger(__name__)


class _LeaseLostError(Exception):
    """Another process has taken the lease."""


class Purge(ABC):
    """The rows of one table that are purged when their time has come.

    Times are in milliseconds since the Unix epoch. Every method raises what
    `Database` raises.
    """

    # One of `telemetry.metrics.PURGES`.
    name: str

    @abstractmethod
    def next_tenant(self, after: str) -> str | None:
        """Returns the first tenant with rows that follows another one, or None."""

    @abstractmethod
    def due_since(self, tenant: str) -> int | None:
        """Returns when the first row of a tenant is, or was, to be purged; None without rows."""

    @abstractmethod
    def purge_batch(self, tenant: str, since: int, now: int) -> tuple[int, int | None]:
        """Purges about BATCH_ROWS of a tenant's rows that were due from `since` to `now`.

        Returns their number, and the `since` of the next batch, None after the last.
        """


class Purger:
    """Purges on a thread of its own, from `start` to `stop`, whenever it is this process's turn."""

    def __init__(
        self, database: Database, purges: Sequence[Purge], metrics: Mapping[str, PurgeMetrics]
    ) -> None:
        self._purges = purges
        self._metrics = metrics
        self._lease = Lease(database, "purge", _LONGEST_LEASE)
        self._renewed_at = 0.0
        # The tenants of the last complete scan: on a cluster that lacks a machine there is none.
        self._tenants: dict[str, list[str]] = {purge.name: [] for purge in purges}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="purger", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Waits for a batch in progress, and ends the thread."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def run_if_due(self) -> bool:
        """Purges all that has expired, unless another process does or has just done.

        Returns whether it was this one's turn. Raises Unavailable and OutcomeUnknown.
        """
        if not self._take_lease():
            for metrics in self._metrics.values():
                metrics.set_due_since(None)
            return False
        complete = [self._purge(purge) for purge in self._purges]
        seconds = PERIOD_SECONDS if all(complete) else RETRY_SECONDS
        now = _now()
        self._lease.give_back(now, now if self._stopped.is_set() else now + seconds * 1000)
        return True

    def _run(self) -> None:
        # Processes that start together do not all ask at once.
        while not self._stopped.wait(RETRY_SECONDS * random.uniform(0.05, 1)):  # noqa: S311 - no secret
            try:
                self.run_if_due()
            except _LeaseLostError:
                _log.warning("another process purges, since this one took too long for a batch")
            except _LOST:
                _log.warning("the database cannot be purged now; trying again in a minute")
            except Exception as error:  # noqa: BLE001 - the thread must go on
                _log.error("the purger failed with %s", type(error).__name__)

    def _purge(self, purge: Purge) -> bool:
        """Purges all tenants, each on its own; returns whether nothing is left of any."""
        is_complete = self._scan(purge)
        failures = 0
        # When the oldest rows of tenants that could not be purged were due.
        left: list[int] = []
        for tenant in self._tenants[purge.name]:
            if self._stopped.is_set():
                return False
            self._renew_lease()
            due = None
            try:
                due = purge.due_since(tenant)
                if due is not None and due <= _now():
                    self._metrics[purge.name].set_due_since(min([*left, due]))
                    self._purge_tenant(purge, tenant, due)
            except _LeaseLostError:
                raise
            except Exception as error:  # noqa: BLE001 - other tenants are purged
                _note(error)
                failures += 1
                left += [] if due is None else [due]
        self._metrics[purge.name].set_due_since(min(left, default=None))
        if failures:
            _log.warning("%s of %d tenants could not be purged", purge.name, failures)
        return is_complete and not failures

    def _scan(self, purge: Purge) -> bool:
        """Reads which tenants have rows; keeps those of the last time if that fails."""
        tenants: list[str] = []
        try:
            while tenant := purge.next_tenant(tenants[-1] if tenants else ""):
                tenants.append(tenant)
                if self._stopped.is_set():
                    return False
                self._renew_lease()
        except _LeaseLostError:
            raise
        except Exception as error:  # noqa: BLE001 - those that are known are purged
            _note(error)
            _log.warning("the tenants with %s to purge cannot be read", purge.name)
            return False
        self._tenants[purge.name] = tenants
        return True

    def _purge_tenant(self, purge: Purge, tenant: str, due: int) -> None:
        """Purges a tenant in batches, with pauses in between."""
        since: int | None = due
        while since is not None and not self._stopped.is_set():
            self._renew_lease()
            began = time.monotonic()
            purged, since = purge.purge_batch(tenant, since, _now())
            self._metrics[purge.name].add(purged)
            pause = max(_MIN_PAUSE_SECONDS, _PAUSE_RATIO * (time.monotonic() - began))
            self._stopped.wait(pause)

    def _take_lease(self) -> bool:
        now = _now()
        self._renewed_at = time.monotonic()
        return self._lease.take(now, now + TERM_SECONDS * 1000)

    def _renew_lease(self) -> None:
        """Renews the lease from time to time. Raises _LeaseLostError if another process has it."""
        if time.monotonic() - self._renewed_at > _RENEWAL_SECONDS and not self._take_lease():
            raise _LeaseLostError


def _note(error: Exception) -> None:
    """Logs an error, unless the database is away, which is logged elsewhere."""
    if not isinstance(error, _LOST):
        _log.error("a purge failed with %s", type(error).__name__)


def _now() -> int:
    return round(time.time() * 1000)
