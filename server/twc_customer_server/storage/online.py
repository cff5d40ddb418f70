"""Steps of migrations: others read and write meanwhile, and wait for moments at most.

A migration that was interrupted runs anew, so that each of these does only what is left to do.
"""

import time
from collections.abc import Callable
from typing import Any

import peewee
import psycopg

from twc_customer_server.storage.database import Database

# Rows that one step changes, and the pause after it as a multiple of its time: the rest is for
# others.
_BATCH_ROWS = 500
_PAUSE_RATIO = 1

_ATTEMPTS = 5

_VALIDITY = """
    SELECT indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE relname = %(name)s AND pg_table_is_visible(pg_class.oid)
"""

# The condition of a range of rows, and its parameters, in the syntax of the driver.
ChangeRange = Callable[[str, tuple[Any, ...]], None]


def add_columns(migrator: Any, db: Any, table: str, **fields: peewee.Field) -> None:
    """Adds the columns that a table lacks."""

    def unit() -> None:
        present = {column.name for column in db.get_columns(table)}
        for name, field in fields.items():
            if name not in present:
                migrator.migrate(migrator.add_column(table, name, field))

    db.step(unit)


def change_each_range(
    db: Any, table: str, key: tuple[str, str], change: ChangeRange, rows: int = _BATCH_ROWS
) -> None:
    """Has all rows of a table changed, range by range of its key, with pauses in between.

    The first column of the key is the tenant.
    """
    first: tuple[Any, ...] = ("", "")
    while first:
        began = time.monotonic()
        condition, bounds, last = _range_after(db, table, key, first, rows)
        db.step(lambda condition=condition, bounds=bounds: change(condition, bounds))
        first = last
        time.sleep(_PAUSE_RATIO * (time.monotonic() - began))


def _range_after(
    db: Any, table: str, key: tuple[str, str], first: tuple[Any, ...], rows: int
) -> tuple[str, tuple[Any, ...], tuple[Any, ...]]:
    """Returns the condition of some rows after a key, its parameters, and the key of the last row.

    They are of one tenant if that has as many. PostgreSQL estimates a comparison of several
    columns by the first: where all rows are of few tenants it would look for each range in any
    index that begins with the tenant, and read all of its entries.
    """
    tenant, other = key
    columns = ", ".join(key)
    find_last = (
        f"SELECT {columns} FROM {table} WHERE {{}} ORDER BY {columns} LIMIT 1 OFFSET {rows - 1}"  # noqa: S608 - names alone
    )
    after = f"{tenant} = {db.param} AND {other} > {db.param}"
    if last := db.execute_sql(find_last.format(after), first).fetchone():
        return f"{after} AND {other} <= {db.param}", (*first, last[1]), tuple(last)
    place = f"({columns}) {{}} ({db.param}, {db.param})"
    after = place.format(">")
    last = db.execute_sql(find_last.format(after), first).fetchone() or ()
    condition = f"{after} AND {place.format('<=')}" if last else after
    if not _is_postgres(db):
        # SQLite would read all of the tenants in any such index; it lists a range of the key by
        # the key's index.
        listed = f"SELECT {columns} FROM {table} WHERE {condition} ORDER BY {columns}"  # noqa: S608 - names alone
        condition = f"({columns}) IN ({listed})"
    return condition, (*first, *last), tuple(last)


def create_index(db: Any, name: str, on: str, *, unique: bool = False) -> None:
    """Creates the index of a name, if there is none that is complete; `on` is what follows ON."""
    kind = "UNIQUE INDEX" if unique else "INDEX"
    if not _is_postgres(db) or _is_in_transaction(db):
        db.step(lambda: db.execute_sql(f"CREATE {kind} IF NOT EXISTS {name} ON {on}"))
        return
    for attempt in range(1, _ATTEMPTS + 1):
        # What an attempt leaves that failed is not used, but kept up to date.
        if (is_valid := _is_valid(db, name)) is False:
            db.execute_sql(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        if is_valid:
            return
        try:
            db.execute_sql(f"CREATE {kind} CONCURRENTLY {name} ON {on}")
        except peewee.OperationalError:
            # It lost a deadlock with a write, for example.
            if attempt == _ATTEMPTS:
                raise


def replace_index(db: Any, name: str, on: str) -> None:
    """Replaces the index of a name by another one; on PostgreSQL the old one serves until then."""
    drop = f"DROP INDEX IF EXISTS {name}"
    follow = f"CREATE INDEX {name} ON {on}"
    if _is_postgres(db):
        create_index(db, f"{name}_new", on)
        follow = f"ALTER INDEX {name}_new RENAME TO {name}"
    db.step(lambda: (db.execute_sql(drop), db.execute_sql(follow)))


def drop_indexes(db: Any, *names: str) -> None:
    """Drops the indexes of these names that there are."""
    db.step(lambda: [db.execute_sql(f"DROP INDEX IF EXISTS {name}") for name in names])


def create_table(db: Any, table: type[peewee.Model]) -> None:
    """Creates a table with its indexes, unless there is one."""
    db.step(lambda: db.create_tables([table]))


def _is_postgres(db: object) -> bool:
    return isinstance(db, peewee.PostgresqlDatabase)


def _is_in_transaction(db: Any) -> bool:
    """Tells whether a PostgreSQL connection is in a transaction, as while a schema is created."""
    return bool(db.connection().info.transaction_status != psycopg.pq.TransactionStatus.IDLE)


def _is_valid(db: Database, name: str) -> bool | None:
    """Tells whether the index of a name is complete; None if there is no index."""
    for (is_valid,) in db.rows(_VALIDITY, {"name": name}):
        return bool(is_valid)
    return None
