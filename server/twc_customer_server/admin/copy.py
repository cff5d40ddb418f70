"""Copies all data from SQLite to PostgreSQL, and compares every row."""

import hashlib
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any, NamedTuple

import peewee
from peewee import Model, fn

from twc_customer_server.admin.progress import progress
from twc_customer_server.storage import copy_mark
from twc_customer_server.storage.copy_mark import COPY_AGAIN
from twc_customer_server.storage.database import CannotServeError, Database, Row
from twc_customer_server.storage.migrate import is_current
from twc_customer_server.storage.postgres import Postgres
from twc_customer_server.storage.postgres_connection import Connection
from twc_customer_server.storage.schema import NO_TENANT, TABLES
from twc_customer_server.storage.sqlite import Sqlite
from twc_customer_server.storage.sqlite_file import require_database
from twc_customer_server.storage.statements import parameter

# Rows in one commit.
_BATCH_ROWS = 1000


class Copied(NamedTuple):
    """A table that is identical in both databases: its number of rows, and their SHA-256."""

    table: str
    rows: int
    checksum: str


def copy_all(source: Sqlite, target: Postgres, *, resume: bool = False) -> list[Copied]:
    """Copies all rows of all tables, then compares every row.

    `resume` continues an interrupted copy; otherwise the target must be
    empty. It is marked, so that nobody serves it, until every row was compared.
    Raises CannotServeError, also if another process writes to the
    source meanwhile, since the copy would lack those rows.
    """
    require_database(source.path, "to copy")
    with source.opening():
        current = is_current(source)
    if not current:
        raise CannotServeError(
            "the SQLite database has another schema version: "
            "run python -m twc_customer_server migrate without DATABASE_URL first"
        )
    target.prepare(copying=True)
    version = _data_version(source)
    with target.session() as connection:
        is_marked = copy_mark.is_marked(connection)
        tables = [_Table(model, source, target, connection) for model in TABLES]
        for table in tables:
            table.require_copied_to(is_marked=is_marked, resume=resume)
        copy_mark.mark(connection)
        for table in tables:
            table.fill()
        copied = [table.compare() for table in tables]
        if _data_version(source) != version:
            raise CannotServeError(
                "the SQLite database was written to during the copy, which lacks those rows: "
                + COPY_AGAIN
            )
        copy_mark.remove_mark(connection)
    return copied


class _Table:
    """One table, in both databases."""

    def __init__(
        self, model: type[Model], source: Sqlite, target: Postgres, connection: Connection
    ) -> None:
        meta: Any = model._meta  # noqa: SLF001 - Peewee's public name for it
        self._name: str = meta.table_name
        self._columns = [field.column_name for field in meta.sorted_fields]
        self._keys = meta.get_primary_keys()
        tenant, *keys = self._keys
        # Where a row has what tells a tenant's rows apart, or the tenant if it has one.
        self._place = self._columns.index(self._keys[-1].column_name)
        self._of_tenant = model.select().where(tenant == parameter("tenant"))
        for key in keys:
            after = self._of_tenant.where(key > parameter("after"))
            self._of_tenant = after.order_by(key).limit(parameter("limit"))
        self._next_tenant = model.select(fn.MIN(tenant)).where(tenant > parameter("tenant"))
        # The service's own rows, of NO_TENANT, are about the processes of one database.
        of_tenants = peewee.SQL("tenant <> ''")
        self._rows = model.select().where(of_tenants).order_by(*self._keys)
        self._last = (
            model.select(*self._keys)
            .where(of_tenants)
            .order_by(*(key.desc() for key in self._keys))
            .limit(1)
        )
        self._source = source
        self._target = target
        self._connection = connection

    def require_copied_to(self, *, is_marked: bool, resume: bool) -> None:
        """Raises CannotServeError if the target has rows, but for those of a copy to resume."""
        if not self._last_row() or (is_marked and resume):
            return
        what_next = (
            "--resume continues an interrupted copy"
            if is_marked
            else "it is not that of an interrupted copy, so name an empty database"
        )
        raise CannotServeError(
            f"the table {self._name} of the PostgreSQL database is not empty; {what_next}"
        )

    def fill(self) -> None:
        """Copies the rows that follow the last row of the target."""
        last = self._last_row()
        rest = self._rows_after(last) if last else self._rows
        copying = f"COPY {self._name} ({', '.join(self._columns)}) FROM STDIN"
        with progress(f"copying {self._name}", self._count(rest)) as advance:
            for batch in _batches(self._source.execute(rest)):
                with self._connection.cursor() as cursor, cursor.copy(copying.encode()) as writing:
                    for row in batch:
                        writing.write_row(row)
                advance(len(batch))

    def compare(self) -> Copied:
        """Compares all rows in key order. Raises CannotServeError at the first that differs."""
        digest = hashlib.sha256()
        rows = 0
        with progress(f"comparing {self._name}", self._count(self._rows)) as advance:
            for row, copied in zip_longest(self._read(self._source), self._read(self._target)):
                if row != copied:
                    raise CannotServeError(self._difference(row or copied))
                digest.update(repr(row).encode())
                advance(1)
                rows += 1
        return Copied(self._name, rows, digest.hexdigest())

    def _read(self, database: Database) -> Iterator[Row]:
        """Yields all rows in key order, tenant by tenant, so that a cluster sorts none of them."""
        next_tenant = database.compile(self._next_tenant)
        of_tenant = database.compile(self._of_tenant)
        tenant = NO_TENANT
        while tenant := database.rows(next_tenant, {"tenant": tenant})[0][0]:
            place = {"tenant": tenant, "after": "", "limit": _BATCH_ROWS}
            while found := database.rows(of_tenant, place):
                yield from found
                if len(found) < _BATCH_ROWS:
                    break
                place["after"] = found[-1][self._place]

    def _last_row(self) -> Row | None:
        """Returns the key of the last row of the target."""
        row: Row | None = self._target.execute(self._last).fetchone()
        return row

    def _rows_after(self, last: Row) -> Any:
        return self._rows.where(peewee.Tuple(*self._keys) > peewee.Tuple(*last))

    def _count(self, rows: Any) -> int:
        query = rows.select(fn.COUNT(peewee.SQL("*"))).order_by()
        [[count]] = self._source.execute(query)
        return int(count)

    def _difference(self, row: Row) -> str:
        place = ", ".join(f"{key.column_name} {row[at]}" for at, key in enumerate(self._keys))
        return f"the rows of {self._name} differ at {place}: {COPY_AGAIN}"


def _batches(rows: Any) -> Iterator[list[Row]]:
    while batch := rows.fetchmany(_BATCH_ROWS):
        yield batch


def _data_version(source: Sqlite) -> int:
    """Returns a number that changes when another connection commits to the file."""
    [[version]] = source.rows("PRAGMA data_version", {})
    return int(version)
