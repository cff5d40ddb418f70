"""Versions of the schema: which a database has, and how it comes to the newest.

A migration is a script in `migrations/`, numbered in order, which changes a
database of the version before into its own. It holds its own copy of what it
needs of the schema, so that it does the same for ever.
"""

from pathlib import Path

import peewee
from playhouse.migrations import Runner

from twc_customer_server.storage.database import CannotServeError

MIGRATIONS = Path(__file__).parent / "migrations"
COMMAND = "make migrate (or python -m twc_customer_server migrate)"


class SchemaMismatchError(CannotServeError):
    """The database is not of the version that this server serves; the message says what to do."""


def migrate(database: peewee.Database) -> list[str]:
    """Brings a database to the newest version; returns the migrations that it took.

    Raises SchemaMismatchError if the database is newer.
    """
    runner = _runner(database)
    _refuse_newer(runner)
    return list(runner.up())


def is_current(database: peewee.Database) -> bool:
    """Tells whether a database is of the version that this server serves."""
    return all(migration.applied and migration.path for migration in _runner(database).status())


def ensure_current(database: peewee.Database) -> None:
    """Makes an empty database current. Raises SchemaMismatchError if one in use is not."""
    runner = _runner(database)
    _refuse_newer(runner)
    pending = [migration.name for migration in runner.status() if not migration.applied]
    if pending and runner.applied():
        raise SchemaMismatchError(
            f"the database is older than this server: {', '.join(pending)} missing. "
            f"Make a backup, then run {COMMAND}"
        )
    if pending:
        runner.up()


def _runner(database: peewee.Database) -> Runner:
    return Runner(database, str(MIGRATIONS))


def _refuse_newer(runner: Runner) -> None:
    unknown = [migration.name for migration in runner.status() if migration.path is None]
    if unknown:
        raise SchemaMismatchError(
            f"the database is newer than this server, which does not know {', '.join(unknown)}: "
            "run a newer server"
        )
