"""Steps of migrations: others read and write meanwhile, and wait for moments at most.

A migration that was interrupted runs anew, so that each of these does only what is left to do.
"""

import time
from collections.abc import Callable
from typing import Any

import peewee

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
    """Has all rows of a table changed, range by range of its key, with pauses in between."""
    columns = ", ".join(key)
    place = f"({columns}) {{}} ({db.param}, {db.param})"
    after = place.format(">")
    find_last = (
        f"SELECT {columns} FROM {table} WHERE {after} ORDER BY {columns} LIMIT 1 OFFSET {rows - 1}"  # noqa: S608 - names alone
    )
    first: tuple[Any, ...] = ("", "")
    while first:
        began = time.monotonic()
        last = db.execute_sql(find_last, first).fetchone() or ()
        condition = f"{after} AND {place.format('<=')}" if last else after
        if not _is_postgres(db):
            # SQLite would look for a range of several columns in any index that begins with the
            # first one, and read all of the tenant; it lists a range of the key by the key's index.
            listed = f"SELECT {columns} FROM {table} WHERE {condition} ORDER BY {columns}"  # noqa: S608 - names alone
            condition = f"({columns}) IN ({listed})"
        bounds = (*first, *last)
        db.step(lambda condition=condition, bounds=bounds: change(condition, bounds))
        first = tuple(last)
        time.sleep(_PAUSE_RATIO * (time.monotonic() - began))


def create_index(db: Any, name: str, on: str, *, unique: bool = False) -> None:
    """Creates the index of a name, if there is none that is complete; `on` is what follows ON."""
    kind = "UNIQUE INDEX" if unique else "INDEX"
    if not _is_postgres(db):
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


def _is_valid(db: Database, name: str) -> bool | None:
    """Tells whether the index of a name is complete; None if there is no index."""
    for (is_valid,) in db.rows(_VALIDITY, {"name": name}):
        return bool(is_valid)
    return None
