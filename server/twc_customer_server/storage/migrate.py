"""Migrates the schema of a database, and checks its version.

A migration is a numbered script in `migrations/`. It has its own copy of the
schema that it needs, so that later changes of `schema.py` do not change it.
"""

import logging
from pathlib import Path

import peewee
from playhouse.migrations import Runner

from twc_customer_server.storage.database import CannotServeError

# The table of the migrations that were applied.
HISTORY = "schema_migration"

MIGRATIONS = Path(__file__).parent / "migrations"
COMMAND = "make migrate (or python -m twc_customer_server migrate)"


_log = logging.getLogger(__name__)

# Its messages would be withheld; `_apply` logs the same.
logging.getLogger("peewee.migrations").setLevel(logging.WARNING)


class SchemaMismatchError(CannotServeError):
    """The database has another schema version than this server; the message says what to do."""


def migrate(database: peewee.Database) -> list[str]:
    """Migrates a database to the newest version; returns the migrations that were applied.

    Raises SchemaMismatchError if the database is newer.
    """
    runner = _runner(database)
    _refuse_newer(runner)
    return _apply(runner)


def known_migrations() -> list[str]:
    """Returns the names of all migrations of this server, in their order."""
    return sorted(path.stem for path in MIGRATIONS.glob("[0-9]*.py"))


def is_current(database: peewee.Database) -> bool:
    """Tells whether a database has the schema version of this server."""
    return all(migration.applied and migration.path for migration in _runner(database).status())


def ensure_current(database: peewee.Database) -> None:
    """Creates the schema in an empty database. Raises SchemaMismatchError for any other version."""
    runner = _runner(database)
    _refuse_newer(runner)
    pending = [migration.name for migration in runner.status() if not migration.applied]
    if pending and runner.applied():
        raise SchemaMismatchError(
            f"the database is older than this server: {', '.join(pending)} missing. "
            f"Make a backup, then run {COMMAND}"
        )
    if pending:
        _apply(runner)


def _apply(runner: Runner) -> list[str]:
    applied = list(runner.up())
    for name in applied:
        _log.info("applied migration %s", name)
    return applied


def _runner(database: peewee.Database) -> Runner:
    return Runner(database, str(MIGRATIONS), HISTORY)


def _refuse_newer(runner: Runner) -> None:
    unknown = [migration.name for migration in runner.status() if migration.path is None]
    if unknown:
        raise SchemaMismatchError(
            f"the database is newer than this server, which does not know {', '.join(unknown)}: "
            "run a newer server"
        )
