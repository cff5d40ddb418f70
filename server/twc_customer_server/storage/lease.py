"""Leases a job to one process at a time, of any that have the database, without locks."""

import uuid

from twc_customer_server.storage.database import Database
from twc_customer_server.storage.schema import NO_TENANT, IdempotencyRow
from twc_customer_server.storage.statements import parameter

_row = IdempotencyRow

_NOBODY = b""


class Lease:
    """The right to do a job, which a row has until a time by the clock of its holder.

    The row is one of the outcomes, of no tenant: it needs neither a session, which a
    connection pooler may take away, nor a table. Clocks that differ by more than a term
    may let two processes do the job. What a clock that was far ahead has written does not count.
    """

    def __init__(self, database: Database, job: str, longest: int) -> None:
        """A lease that ends more than `longest` milliseconds from now is taken for nobody's."""
        self._database = database
        self._job = job
        self._longest = longest
        self._holder = uuid.uuid4().bytes
        values = {
            _row.tenant: parameter("tenant"),
            _row.key: parameter("job"),
            _row.digest: parameter("next_holder"),
            _row.created_at: parameter("until"),
        }
        is_free = (
            (_row.digest == parameter("holder"))
            | (_row.created_at <= parameter("now"))
            | (_row.created_at > parameter("latest"))
        )
        self._take = database.compile(
            _row.insert(values).on_conflict(
                conflict_target=(_row.tenant, _row.key),
                update={it: values[it] for it in (_row.digest, _row.created_at)},
                where=is_free,
            )
        )

    def take(self, now: int, until: int) -> bool:
        """Takes or renews the lease, unless another process has it; tells whether it did.

        Times are in milliseconds since the Unix epoch. Raises what `Database.write` raises.
        """
        return self._write(self._holder, now, until)

    def give_back(self, now: int, until: int) -> None:
        """Ends the lease so that no process takes it before a time."""
        self._write(_NOBODY, now, until)

    def _write(self, next_holder: bytes, now: int, until: int) -> bool:
        parameters: dict[str, object] = {"tenant": NO_TENANT, "job": self._job}
        parameters |= {"holder": self._holder, "next_holder": next_holder}
        parameters |= {"now": now, "until": until, "latest": now + self._longest}
        return bool(self._database.write_one(self._take, parameters))
