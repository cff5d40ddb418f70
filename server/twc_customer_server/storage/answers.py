"""Finds and drops the kept answers of requests with an idempotency key that have some customers."""

from collections.abc import Collection
from typing import NamedTuple
from uuid import UUID

from peewee import SQL, fn

from twc_customer_server.storage.database import Database
from twc_customer_server.storage.schema import SEVERAL, IdempotencyRow
from twc_customer_server.storage.statements import parameter

_row = IdempotencyRow
_ID_BYTES = 16

# Answers of merges have two customers of any age, and others only customers that their request
# has created; the clock may be set while it runs.
_MERGED = 2
_CLOCK_MILLISECONDS = 60 * 60 * 1000
# Of ids that begin with the time in milliseconds (RFC 9562).
_TIMED, _TIME_SHIFT = 7, 80
_ALWAYS = (0, (1 << 63) - 1)


class KeptAnswer(NamedTuple):
    """The key of a request whose answer is kept; since when, in milliseconds since the epoch."""

    key: str
    created_at: int


class KeptAnswers:
    """The kept answers of every tenant, by the customers in them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        of_tenant = _row.tenant == parameter("tenant")
        of_one = _row.customer_id == parameter("id")
        self._of_one = database.compile(
            _row.select(_row.key, _row.created_at).where(of_tenant, of_one)
        )
        # The ids of others, which may be many, are not even read.
        may_have = (
            _row.customer_ids.is_null()
            | (fn.LENGTH(_row.customer_ids) <= SQL(str(_MERGED * _ID_BYTES)))
            | _row.created_at.between(parameter("first"), parameter("last"))
        )
        self._of_several = database.compile(
            _row.select(_row.key, _row.created_at, _row.customer_ids).where(
                of_tenant, of_one, may_have
            )
        )
        self._drop_of_one = database.compile(_row.delete().where(of_tenant, of_one))
        self._drop = database.compile(_row.delete().where(of_tenant, _row.key == parameter("key")))

    def find(self, tenant: str, customer_id: str) -> list[KeptAnswer]:
        """Returns the answers that have a customer."""
        rows = self._database.rows(self._of_one, {"tenant": tenant, "id": customer_id})
        several = self._with_several(tenant, [customer_id], or_unknown=False)
        return [*(KeptAnswer(*row) for row in rows), *several]

    def drop(self, tenant: str, customer_ids: Collection[str]) -> None:
        """Drops the answers that have, or may have, one of some customers, in a unit of work."""
        ones = [{"tenant": tenant, "id": it} for it in customer_ids]
        self._database.run_each(self._drop_of_one, ones)
        several = self._with_several(tenant, customer_ids, or_unknown=True)
        if several:
            keys = [{"tenant": tenant, "key": answer.key} for answer in several]
            self._database.run_each(self._drop, keys)

    def _with_several(
        self, tenant: str, customer_ids: Collection[str], *, or_unknown: bool
    ) -> list[KeptAnswer]:
        """Returns the answers that have one of some customers and others as well."""
        ids = [UUID(it) for it in customer_ids]
        wanted = {it.bytes for it in ids}
        first, last = _times_of_creation(ids)
        scope = {"tenant": tenant, "id": SEVERAL, "first": first, "last": last}
        rows = self._database.rows(self._of_several, scope)
        return [
            KeptAnswer(key, created_at)
            for key, created_at, held in rows
            if (or_unknown if held is None else not wanted.isdisjoint(_divide(held)))
        ]


def _times_of_creation(ids: Collection[UUID]) -> tuple[int, int]:
    """Returns between which times customers were created, in milliseconds since the epoch."""
    if any(it.version != _TIMED for it in ids):
        return _ALWAYS
    times = [it.int >> _TIME_SHIFT for it in ids]
    return (
        min(times, default=0) - _CLOCK_MILLISECONDS,
        max(times, default=0) + _CLOCK_MILLISECONDS,
    )


def _divide(ids: bytes) -> list[bytes]:
    return [ids[at : at + _ID_BYTES] for at in range(0, len(ids), _ID_BYTES)]
