"""Bounds what is kept of each tenant's requests with an idempotency key."""

from time import monotonic
from typing import NamedTuple

from peewee import fn

from twc_customer_server.errors import Overloaded
from twc_customer_server.storage.database import Database
from twc_customer_server.storage.schema import IdempotencyRow
from twc_customer_server.storage.statements import parameter

# Bytes that a row takes with its indexes, beside the outcome and its key.
_ROW_BYTES = 256

# A sum counts for so long, and until the process has added this share of the quota
# to it: what other processes add meanwhile is not known.
_SUM_SECONDS = 30
_SHARE = 16

# Tenants whose sums are at hand.
_MAX_TENANTS = 10_000

_row = IdempotencyRow


class _Usage(NamedTuple):
    """Counts what a tenant has kept: a sum, what was added to it since, and the first one's time.

    `summed_at` is of the monotonic clock, `first` in milliseconds since the Unix epoch.
    """

    summed_at: float
    summed: int
    added: int
    first: int


class OutcomeQuota:
    """The bytes that may be kept of each tenant's outcomes; several processes share it roughly.

    Each process sums up what is kept from time to time, and adds what it keeps itself.
    """

    def __init__(self, database: Database, max_bytes: int, lifetime: int) -> None:
        """`max_bytes` of 0 is no limit; `lifetime` is that of an outcome, in milliseconds."""
        self._database = database
        self._max_bytes = max_bytes
        self._lifetime = lifetime
        self._usage: dict[str, _Usage] = {}
        self._sum = database.compile(
            _row.select(fn.SUM(_row.size), fn.MIN(_row.created_at)).where(
                _row.tenant == parameter("tenant"), _row.created_at > parameter("expired")
            )
        )

    def refusal(self, tenant: str, now: int) -> Overloaded | None:
        """Returns the error of a new request if a tenant has used up its quota at a time."""
        if not self._max_bytes:
            return None
        usage = self._usage.get(tenant)
        if usage is None or not self._is_recent(usage):
            usage = self._sum_up(tenant, now)
        if usage.summed + usage.added < self._max_bytes:
            return None
        seconds = max(1, (usage.first + self._lifetime - now) // 1000)
        return Overloaded(_exhausted(self._max_bytes, seconds), seconds)

    def add(self, tenant: str, size: int) -> None:
        """Adds to what a tenant has kept."""
        if usage := self._usage.get(tenant):
            self._usage[tenant] = usage._replace(added=usage.added + size)

    def _sum_up(self, tenant: str, now: int) -> _Usage:
        summed_at = monotonic()
        parameters = {"tenant": tenant, "expired": now - self._lifetime}
        [[summed, first]] = self._database.rows(self._sum, parameters)
        if len(self._usage) >= _MAX_TENANTS:
            self._usage.clear()
        self._usage[tenant] = usage = _Usage(summed_at, int(summed or 0), 0, first or now)
        return usage

    def _is_recent(self, usage: _Usage) -> bool:
        return (
            monotonic() - usage.summed_at < _SUM_SECONDS and usage.added < self._max_bytes // _SHARE
        )


def outcome_size(key: str, outcome: bytes) -> int:
    """Returns what an outcome counts for."""
    return len(key) + len(outcome) + _ROW_BYTES


def _exhausted(max_bytes: int, seconds: int) -> str:
    hours, minutes = divmod(-(-seconds // 60), 60)
    return (
        "the answers that are kept for this tenant's requests with an Idempotency-Key take up "
        f"the {max_bytes:,} bytes they may (IDEMPOTENCY_QUOTA_BYTES), and the request was not "
        f"carried out: the first of them ends in {hours} h {minutes} min; until then, send "
        "requests without a key"
    )
