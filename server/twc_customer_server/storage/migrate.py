"""Migrates the schema of a database, and checks its version.

A migration is a numbered script in `migrations/`. It has its own copy of the
schema that it needs, so that later changes of `schema.py` do not change it.
A name that ends in `_since_` and the number of an earlier one says that servers which
know that one serve a database with this one as well, as while they are replaced.
"""

import logging
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import peewee
from playhouse.migrations import Runner

from twc_customer_server.storage.database import CannotServeError

# The table of the migrations that were applied.
HISTORY = "schema_migration"

MIGRATIONS = Path(__file__).parent / "migrations"
COMMAND = "make migrate (or python -m twc_customer_server migrate)"

_find_since = re.compile(r"_since_(\d+)$").search

_log = logging.getLogger(__name__)

# Its messages would be withheld; `_apply` logs the same.
logging.getLogger("peewee.migrations").setLevel(logging.WARNING)


class SchemaMismatchError(CannotServeError):
    """The database has another schema version than this server; the message says what to do."""


def migrate(database: Any) -> list[str]:
    """Migrates a database to the newest version; returns the migrations that were applied.

    Raises SchemaMismatchError if the database is newer.
    """
    runner = _runner(database)
    _refuse_newer(runner)
    return _apply(runner) if runner.applied() else _create(database, runner)


def known_migrations() -> list[str]:
    """Returns the names of all migrations of this server, in their order."""
    return sorted(path.stem for path in MIGRATIONS.glob("[0-9]*.py"))


def beyond(names: Iterable[str]) -> list[str]:
    """Returns which of some migrations keep this server from a database that has them."""
    known = known_migrations()
    newest = max(map(_number, known))
    return [name for name in names if name not in known and _since(name) > newest]


def is_current(database: peewee.Database) -> bool:
    """Tells whether a database has the schema version of this server."""
    return all(migration.applied and migration.path for migration in _runner(database).status())


def is_served(database: peewee.Database) -> bool:
    """Tells whether this server serves the schema version of a database."""
    runner = _runner(database)
    pending = [migration for migration in runner.status() if not migration.applied]
    return not pending and not beyond(runner.applied())


def ensure_served(database: Any) -> None:
    """Creates the schema in an empty database, which stays empty if this is interrupted.

    Raises SchemaMismatchError for a version that this server does not serve.
    """
    runner = _runner(database)
    _refuse_newer(runner)
    pending = [migration.name for migration in runner.status() if not migration.applied]
    if pending and runner.applied():
        raise SchemaMismatchError(
            f"the database is older than this server: {', '.join(pending)} missing. "
            f"Make a backup, then run {COMMAND}; servers of the release before may serve on"
        )
    if pending:
        _create(database, runner)


def _create(database: Any, runner: Runner) -> list[str]:
    """Creates the schema in an empty database, which stays empty if this is interrupted."""
    applied: list[str] = database.step(lambda: _apply(runner))
    return applied


def _apply(runner: Runner) -> list[str]:
    applied = list(runner.up())
    for name in applied:
        _log.info("applied migration %s", name)
    return applied


def _number(name: str) -> int:
    return int(name.partition("_")[0])


def _since(name: str) -> int:
    """Returns the number of the newest migration that a server must know to serve one."""
    found = _find_since(name)
    return int(found[1]) if found else _number(name)


def _runner(database: peewee.Database) -> Runner:
    return Runner(database, str(MIGRATIONS), HISTORY)


def _refuse_newer(runner: Runner) -> None:
    if unknown := beyond(sorted(runner.applied())):
        raise SchemaMismatchError(
            f"the database is newer than this server, which does not know {', '.join(unknown)}: "
            "run a newer server"
        )
