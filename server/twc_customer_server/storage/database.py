"""What the store asks of a database, whichever it is."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import peewee

T = TypeVar("T")
D = TypeVar("D", bound="Database")
Row = tuple[Any, ...]
Parameters = Sequence[object]

AWAY = "the database cannot be reached now; try again"


class CannotServeError(Exception):
    """The database cannot be served; the message says why and what to do, to who runs it."""


class UniqueViolationError(Exception):
    """A statement would give two live customers what only one may have."""


class Database(ABC):
    """A database of customers. Beside this class, a backend is one of Peewee's databases."""

    # Peewee's: whether rows can be locked while they are read, and what writes its SQL.
    for_update: bool
    get_sql_context: Callable[[], Any]

    @abstractmethod
    def prepare(self) -> None:
        """Makes it ready to be served, an empty one with the newest schema.

        Raises CannotServeError.
        """

    @abstractmethod
    def migrate(self) -> list[str]:
        """Brings it to the newest version; returns the migrations that it took.

        Of several processes at once, one does. Raises CannotServeError.
        """

    @abstractmethod
    def shut_down(self) -> None:
        """Ends the writes that have begun, then closes every connection."""

    @abstractmethod
    def rows(self, sql: str, parameters: Parameters) -> list[Row]:
        """Runs a compiled query, within a unit of work as part of that. Raises Unavailable."""

    @abstractmethod
    def run(self, sql: str, parameters: Parameters) -> int:
        """Runs a compiled statement as part of a unit of work; returns how many rows it wrote.

        Raises UniqueViolationError; then the unit must end with an error.
        """

    @abstractmethod
    def run_each(self, sql: str, rows: Sequence[Parameters]) -> list[int]:
        """Runs a compiled statement for each row of parameters, in order, as `run` does."""

    @abstractmethod
    def write(self, unit: Callable[[], T], *, repeatable: bool = False, bulk: bool = False) -> T:
        """Runs a unit of work in a transaction and returns its result once that is on disk.

        What the unit raises undoes what it wrote, and is raised here. It may
        run several times before it is committed; one that is `repeatable`
        also after that, where it must do no harm. One in `bulk` has the time
        of an upload. Within another unit it is a part of that. Raises
        Unavailable if the database cannot commit.
        """

    @abstractmethod
    def write_one(self, sql: str, parameters: Parameters) -> int:
        """Runs a compiled statement as a repeatable unit of work; returns how many rows it wrote.

        Within another unit it is a part of that. Raises Unavailable if the
        database cannot commit.
        """

    def compile(self, statement: peewee.Node) -> str:
        """The SQL of a statement; its values become parameters in the order they stand."""
        sql, _ = self.get_sql_context().sql(statement).query()
        return str(sql)


@contextmanager
def shut_down_after(database: D) -> Iterator[D]:
    """Lends a database to a `with` block, and shuts it down at the end of that."""
    try:
        yield database
    finally:
        database.shut_down()
