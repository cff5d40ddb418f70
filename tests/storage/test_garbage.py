"""What a write has kept is freed when it ends, however it ends: no collector has to find it."""

import weakref
from collections.abc import Callable
from contextlib import suppress

import peewee
import psycopg
import pytest

from tests.support.backends import each_backend, only
from tests.support.server_process import wait_until
from twc_customer_server.errors import NotFound, Unavailable
from twc_customer_server.storage.database import Database

pytestmark = pytest.mark.usefixtures("without_collector")


class Unit:
    """A unit of work that raises errors, one at each run, before it succeeds."""

    def __init__(self, *errors: Callable[[], Exception]) -> None:
        self._errors = list(errors)

    def __call__(self) -> None:
        """Raises the next error, if there is one."""
        if self._errors:
            error = self._errors.pop(0)
            raise error()


def _write(database: Database, *errors: Callable[[], Exception]) -> None:
    """Runs a unit of work that raises errors, and waits until it is freed."""
    unit = Unit(*errors)
    freed = weakref.ref(unit)
    with suppress(NotFound, Unavailable):
        database.write(unit, tenant="acme")
    del unit
    wait_until(lambda: freed() is None)


def _not_found() -> NotFound:
    return NotFound("id")


@each_backend
@pytest.mark.parametrize("errors", [[], [_not_found]], ids=["committed", "rolled back"])
def test_write(database: Database, errors: list[Callable[[], Exception]]) -> None:
    """The writing thread keeps nothing while it waits, nor does the error of a unit of work."""
    _write(database, *errors)


@only("sqlite")
def test_failed_write(database: Database) -> None:
    """An error of the database keeps nothing."""
    _write(database, peewee.OperationalError)


@only("postgresql")
def test_repeated_write(database: Database) -> None:
    """An error that is overcome by another attempt keeps nothing."""
    _write(database, psycopg.errors.SerializationFailure)
