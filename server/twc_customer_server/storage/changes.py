"""Numbers the changes of each tenant's customers, and reads them in the order of the numbers.

A write leaves its change without a number. Readers number those that are
committed, one reader at a time: no number is committed after a higher one was
read, whatever any clock says, and no write waits for another one.
"""

import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, TypeVar

from peewee import Tuple, fn

from twc_customer_server.errors import OutcomeUnknown, Unavailable
from twc_customer_server.storage.database import UNREACHABLE, Database
from twc_customer_server.storage.schema import ChangeSequenceRow, CustomerRow
from twc_customer_server.storage.statements import locked, parameter, values_of
from twc_customer_server.telemetry.families import UNNUMBERED

# Changes that get one number at a time: it keeps other writes waiting on SQLite.
_BATCH_ROWS = 500

# Tenants whose changes were read in these seconds count as being read; so many changes of
# each are counted that have no number.
_READ_SECONDS = 60
_COUNTED_ROWS = 10_000

# Changes that are numbered at the beginning of an export. Those that remain are part of the
# next export as well, which costs less than to keep the client waiting.
_SETTLED_ROWS = 20_000

_EPOCH_BYTES = 4

T = TypeVar("T")

_row = CustomerRow
_sequence = ChangeSequenceRow


class Position(NamedTuple):
    """The last number of a tenant; numbers of different epochs cannot be compared."""

    epoch: str
    last: int


# No sequence has this epoch: a cursor of it expires with the first number.
_NEVER_NUMBERED = Position("", 0)


class ChangePlace(NamedTuple):
    """The number and the customer's id of a change; changes with one number go by id."""

    number: int = -1
    id: str = ""


class Change(NamedTuple):
    """The last change of a customer: of its creation, its deletion if `deleted_at` is set, or else.

    `created` is the number of the customer's creation.
    """

    place: ChangePlace
    created: int
    deleted_at: int | None
    body: bytes


class ChangeStore:
    """The changes of every tenant. Every method raises Unavailable if the database is."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # When the changes of tenants were last read, by the monotonic clock.
        self._read_at: dict[str, float] = {}
        of_tenant = _sequence.tenant == parameter("tenant")
        position = _sequence.select(_sequence.epoch, _sequence.last).where(of_tenant)
        self._position = database.compile(position)
        self._lock = database.compile(locked(database, position, "FOR UPDATE"))
        self._claim = database.compile(locked(database, position, "FOR UPDATE SKIP LOCKED"))
        self._begin = database.compile(
            _sequence.insert(
                values_of((_sequence.tenant, _sequence.epoch, _sequence.last))
            ).on_conflict(action="nothing")
        )
        self._advance = database.compile(
            _sequence.update(values_of([_sequence.last])).where(of_tenant)
        )
        unnumbered = (
            _row.select(_row.id)
            .where(_row.tenant == parameter("tenant"), _row.change_sequence.is_null())
            # Has PostgreSQL take the index of numbers, whatever it knows of the tenant.
            .order_by(_row.change_sequence)
            .limit(parameter("limit"))
        )
        self._unnumbered = database.compile(unnumbered)
        # Skips rows that a write changes now: it takes their number away again.
        self._lock_unnumbered = database.compile(
            locked(database, unnumbered, "FOR UPDATE SKIP LOCKED")
        )
        number = parameter("number")
        self._number = database.compile(
            _row.update(
                {
                    _row.change_sequence: number,
                    _row.created_sequence: fn.COALESCE(_row.created_sequence, number),
                }
            ).where(_row.tenant == parameter("tenant"), _row.id == parameter("id"))
        )
        self._read = database.compile(
            _row.select(
                _row.change_sequence, _row.id, _row.created_sequence, _row.deleted_at, _row.body
            )
            .where(
                _row.tenant == parameter("tenant"),
                Tuple(_row.change_sequence, _row.id)
                > Tuple(parameter("after"), parameter("after_id")),
            )
            .order_by(_row.change_sequence, _row.id)
            .limit(parameter("limit"))
        )

    def claim(self, tenant: str) -> int | None:
        """Returns the number for all changes of a unit of work, which this is part of.

        None if another unit of work has the sequence: nobody waits for it here.
        """
        for _ in range(2):
            for _, last in self._database.rows(self._claim, {"tenant": tenant}):
                self._set_last(tenant, last + 1)
                return int(last) + 1
            if self._database.rows(self._position, {"tenant": tenant}):
                return None
            self._begin_sequence(tenant)
        return None

    def position(self, tenant: str) -> Position:
        """Returns the tenant's last number, after which all changes from now on are numbered."""
        while True:
            for row in self._database.rows(self._position, {"tenant": tenant}):
                return Position(*row)
            self._write(tenant, lambda: self._begin_sequence(tenant))

    def settle(self, tenant: str) -> Position:
        """Numbers the changes that are committed, if not too many; returns the last number.

        Changes that are committed later have a higher one. So have those without
        a number, which all are that come while the database takes no writes.
        """
        try:
            self._number_pending(tenant, _SETTLED_ROWS)
            return self.position(tenant)
        except Unavailable:
            for row in self._database.rows(self._position, {"tenant": tenant}):
                return Position(*row)
            return _NEVER_NUMBERED

    def read(self, tenant: str, after: ChangePlace, limit: int) -> list[Change]:
        """Returns the changes that follow a place; numbers some first that have no number."""
        self._read_at[tenant] = time.monotonic()
        self._number_pending(tenant, _BATCH_ROWS)
        parameters = {"tenant": tenant, "after": after.number, "after_id": after.id, "limit": limit}
        return [
            Change(ChangePlace(number, customer_id), created, deleted_at, body)
            for number, customer_id, created, deleted_at, body in self._database.rows(
                self._read, parameters
            )
        ]

    def sample(self) -> None:
        """Sets the metric of changes without a number; to be called again and again.

        It stays as it is while the database is unavailable.
        """
        since = time.monotonic() - _READ_SECONDS
        for tenant, read_at in list(self._read_at.items()):
            if read_at < since:
                del self._read_at[tenant]
        limits = [{"tenant": tenant, "limit": _COUNTED_ROWS} for tenant in self._read_at.copy()]
        with suppress(Unavailable):
            most = max((len(self._database.rows(self._unnumbered, it)) for it in limits), default=0)
            self._database.metrics.series(UNNUMBERED).set(most)

    def _number_pending(self, tenant: str, most: int) -> None:
        """Numbers changes that are committed, about `most`."""
        for _ in range(0, most, _BATCH_ROWS):
            if not self._database.rows(self._unnumbered, {"tenant": tenant, "limit": 1}):
                return
            if self._write(tenant, lambda: self._number_batch(tenant)) < _BATCH_ROWS:
                return

    def _write(self, tenant: str, unit: Callable[[], T]) -> T:
        """Runs a unit of work of a reader, who can read again whatever became of it."""
        try:
            return self._database.write(unit, tenant=tenant, repeatable=True)
        except OutcomeUnknown as error:
            raise Unavailable(UNREACHABLE) from error

    def _number_batch(self, tenant: str) -> int:
        """Numbers changes as a unit of work, and returns how many."""
        while not (locked := self._database.rows(self._lock, {"tenant": tenant})):
            self._begin_sequence(tenant)
        number = locked[0][1] + 1
        found = self._database.rows(self._lock_unnumbered, {"tenant": tenant, "limit": _BATCH_ROWS})
        if found:
            one = {"tenant": tenant, "number": number}
            self._database.run_each(self._number, [{**one, "id": row[0]} for row in found])
            self._set_last(tenant, number)
        return len(found)

    def _begin_sequence(self, tenant: str) -> None:
        epoch = secrets.token_hex(_EPOCH_BYTES)
        self._database.run(self._begin, {"tenant": tenant, "epoch": epoch, "last": 0})

    def _set_last(self, tenant: str, last: int) -> None:
        self._database.run(self._advance, {"tenant": tenant, "last": last})


def renew_epochs(database: Database) -> None:
    """Has every cursor expire, as part of a unit of work: what it counts may have been undone."""
    renew = database.compile(_sequence.update(values_of([_sequence.epoch])))
    database.run(renew, {"epoch": secrets.token_hex(_EPOCH_BYTES)})
