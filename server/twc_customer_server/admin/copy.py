"""Copies everything from SQLite to PostgreSQL, and proves that it is all there."""

import hashlib
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import peewee
from peewee import Model, fn

from twc_customer_server.admin.progress import shown
from twc_customer_server.storage.database import CannotServeError, Row
from twc_customer_server.storage.migrate import is_current
from twc_customer_server.storage.postgres import Postgres
from twc_customer_server.storage.postgres_pool import Connection
from twc_customer_server.storage.schema import TABLES
from twc_customer_server.storage.sqlite import Sqlite

# Rows that are committed at a time.
_BATCH = 1000


class Copied(NamedTuple):
    """A table that source and target hold the same rows of: how many, and their SHA-256."""

    table: str
    rows: int
    checksum: str


def copy_all(source: Sqlite, target: Postgres, *, resume: bool = False) -> list[Copied]:
    """Copies all rows of all tables, then compares every one of them.

    `resume` goes on with a copy that was broken off; otherwise the target must
    be empty. Raises CannotServeError, also if the source was written to
    meanwhile: the copy would lack that.
    """
    if not Path(source.database).exists():
        raise CannotServeError(f"there is no database {source.database} to copy")
    if not is_current(source):
        raise CannotServeError(
            "the SQLite database is not of this version: "
            "run python -m twc_customer_server migrate without DATABASE_URL first"
        )
    target.prepare()
    version = _writes_of_others(source)
    with target.session() as connection:
        tables = [_Table(model, source, target, connection) for model in TABLES]
        for table in tables:
            table.fill(resume=resume)
        copied = [table.compare() for table in tables]
    if _writes_of_others(source) != version:
        raise CannotServeError(
            "the SQLite database was written to meanwhile, and the copy lacks that: "
            "stop the service, empty the PostgreSQL database, and copy again"
        )
    return copied


class _Table:
    """A table of both databases."""

    def __init__(
        self, model: type[Model], source: Sqlite, target: Postgres, connection: Connection
    ) -> None:
        meta: Any = model._meta  # noqa: SLF001 - so Peewee calls it
        self._name: str = meta.table_name
        self._columns = [field.column_name for field in meta.sorted_fields]
        self._keys = meta.get_primary_keys()
        self._rows = model.select().order_by(*self._keys)
        self._last = (
            model.select(*self._keys).order_by(*(key.desc() for key in self._keys)).limit(1)
        )
        self._source = source
        self._target = target
        self._connection = connection

    def fill(self, *, resume: bool) -> None:
        """Copies the rows that come after those that the target has."""
        last = self._target.execute(self._last).fetchone()
        if last and not resume:
            raise CannotServeError(
                f"the table {self._name} of the PostgreSQL database is not empty; "
                "--resume goes on with a copy that was broken off"
            )
        rest = self._rows_after(last) if last else self._rows
        copying = f"COPY {self._name} ({', '.join(self._columns)}) FROM STDIN"
        with shown(f"copying {self._name}", self._count(rest)) as advance:
            for batch in _batches(self._source.execute(rest)):
                with self._connection.cursor() as cursor, cursor.copy(copying.encode()) as writing:
                    for row in batch:
                        writing.write_row(row)
                advance(len(batch))

    def compare(self) -> Copied:
        """Reads both to their ends. Raises CannotServeError at the first row that differs."""
        digest = hashlib.sha256()
        rows = 0
        with (
            shown(f"comparing {self._name}", self._count(self._rows)) as advance,
            self._connection.transaction(),
            self._connection.cursor(name="compared", binary=True) as there,
        ):
            there.itersize = _BATCH
            there.execute(self._target.compile(self._rows).encode())
            here = self._source.execute(self._rows)
            for row, copied in zip_longest(here, there):
                if row != copied:
                    raise CannotServeError(self._difference(row or copied))
                digest.update(repr(row).encode())
                advance(1)
                rows += 1
        return Copied(self._name, rows, digest.hexdigest())

    def _rows_after(self, last: Row) -> Any:
        return self._rows.where(peewee.Tuple(*self._keys) > peewee.Tuple(*last))

    def _count(self, rows: Any) -> int:
        query = rows.select(fn.COUNT(peewee.SQL("*"))).order_by()
        [[count]] = self._source.execute(query)
        return int(count)

    def _difference(self, row: Row) -> str:
        place = ", ".join(f"{key.column_name} {row[at]}" for at, key in enumerate(self._keys))
        return f"the rows of {self._name} differ at {place}: the copy is not complete"


def _batches(rows: Any) -> Iterator[list[Row]]:
    while batch := rows.fetchmany(_BATCH):
        yield batch


def _writes_of_others(source: Sqlite) -> int:
    """A number that changes when another connection commits to the file."""
    [[version]] = source.rows("PRAGMA data_version", ())
    return int(version)
