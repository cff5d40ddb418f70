"""What came of requests that carry a key, so that to repeat one changes nothing."""

from collections.abc import Callable
from typing import NamedTuple

from twc_customer_server.errors import IdempotencyKeyReused
from twc_customer_server.storage.database import Database
from twc_customer_server.storage.schema import OutcomeRow
from twc_customer_server.storage.statements import BYTES, NUMBER, TEXT

# How long a repeated request is answered with what came of the first.
LIFETIME_MILLISECONDS = 24 * 60 * 60 * 1000

# Outcomes that one statement purges: many take longer than others can wait.
_PURGED = 1000

_row = OutcomeRow


class Repeatable(NamedTuple):
    """A request that may be repeated: its key, what tells it from others, and when it came.

    The time is in milliseconds since the Unix epoch.
    """

    key: str
    digest: bytes
    now: int


class Outcomes:
    """The outcomes of every tenant's requests, each kept with what the request changed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # tenant, key, digest, created_at
        self._claim = database.compile(
            _row.insert(
                {
                    _row.tenant: TEXT,
                    _row.key: TEXT,
                    _row.digest: BYTES,
                    _row.created_at: NUMBER,
                }
            ).on_conflict(action="nothing")
        )
        mine = (_row.tenant == TEXT, _row.key == TEXT)
        self._get = database.compile(
            _row.select(_row.digest, _row.outcome, _row.created_at).where(*mine)
        )
        self._keep = database.compile(_row.update({_row.outcome: BYTES}).where(*mine))
        # tenant, key, created_at
        self._drop = database.compile(_row.delete().where(*mine, _row.created_at <= NUMBER))
        # tenant, tenant, created_at, limit
        over = _row.select(_row.key).where(_row.tenant == TEXT, _row.created_at < NUMBER).limit(1)
        self._purge = database.compile(_row.delete().where(_row.tenant == TEXT, _row.key.in_(over)))
        # The only statement on more than one tenant; it tells their names alone.
        self._tenants = database.compile(_row.select(_row.tenant).distinct())

    def once(
        self,
        tenant: str,
        request: Repeatable | None,
        act: Callable[[], bytes],
        *,
        bulk: bool = False,
    ) -> bytes:
        """Returns what `act` does, or did when the request came first; None has no repeats.

        Both are one transaction, so that there is an outcome if and only if
        something was done. A repeat waits for the first while that runs; they
        have the time of an upload in `bulk`. Raises IdempotencyKeyReused, and
        what `act` raises: then the request has no outcome.
        """
        if request is None:
            return act()
        return self._database.write(
            lambda: self._once(tenant, request, act), repeatable=True, bulk=bulk
        )

    def purge(self, now: int) -> None:
        """Forgets the outcomes whose time is over at a time, in milliseconds since the epoch."""
        for (tenant,) in self._database.rows(self._tenants, ()):
            over = (tenant, tenant, now - LIFETIME_MILLISECONDS, _PURGED)
            while self._database.write_one(self._purge, over) == _PURGED:
                pass

    def _once(self, tenant: str, request: Repeatable, act: Callable[[], bytes]) -> bytes:
        mine = (tenant, request.key)
        claim = (*mine, request.digest, request.now)
        while not self._database.run(self._claim, claim):
            over = request.now - LIFETIME_MILLISECONDS
            # Of several that find an outcome whose time is over, one drops it.
            for digest, outcome, created_at in self._database.rows(self._get, mine):
                if created_at > over:
                    if digest != request.digest:
                        raise IdempotencyKeyReused
                    return bytes(outcome)
            self._database.run(self._drop, (*mine, over))
        outcome = act()
        self._database.run(self._keep, (outcome, *mine))
        return outcome
