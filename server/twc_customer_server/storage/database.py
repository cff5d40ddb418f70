"""The interface of a database to the store, whichever backend it is."""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import peewee

from twc_customer_server.telemetry.families import STATEMENTS
from twc_customer_server.telemetry.metrics import OwnMetrics, Series

T = TypeVar("T")
D = TypeVar("D", bound="Database")
Row = tuple[Any, ...]
Parameters = Mapping[str, object]

# Finds the first operation of a statement, and its table.
find_target = re.compile(
    r'(?P<operation>SELECT|INSERT|UPDATE|DELETE)\b.*?(?:FROM|INTO|(?<=UPDATE)) "(?P<table>\w+)"',
    re.DOTALL,
).search

UNREACHABLE = "the database cannot be reached now; try again"


class CannotServeError(Exception):
    """The database cannot be served; the message tells the operator why and what to do."""


class UniqueViolationError(Exception):
    """A statement violates a unique index on live customers."""


class Reader(Protocol):
    """Runs compiled queries: a database, or what chooses where a call reads."""

    def rows(self, sql: str, parameters: Parameters) -> list[Row]:
        """Runs a compiled query of a tenant. Raises Unavailable."""


class Database(ABC):
    """A database of customers. Each backend is also one of Peewee's databases."""

    # Peewee's: whether the backend has SELECT FOR UPDATE, and its writer of SQL.
    for_update: bool
    get_sql_context: Callable[[], Any]
    param: str

    # The backend's syntax of a named parameter.
    named_parameter: str

    def __init__(self, metrics: OwnMetrics | None = None) -> None:
        """Counts in metrics of its own if none are given."""
        self.metrics = metrics or OwnMetrics()
        # When it last answered a call or a probe, by the monotonic clock.
        self.answered_at = -math.inf
        # Count the time of each compiled statement, by its SQL.
        self.times: dict[str, Series] = {}

    @abstractmethod
    def prepare(self) -> None:
        """Opens the database; creates the newest schema in an empty one.

        Raises CannotServeError.
        """

    @abstractmethod
    def migrate(self) -> list[str]:
        """Migrates the database to the newest version; returns the migrations it applied.

        Of several processes at a time, one does. Raises CannotServeError.
        """

    @abstractmethod
    def step(self, unit: Callable[[], T]) -> T:
        """Runs a unit of a migration in a transaction, for which others wait a moment at most.

        The unit may run several times. Raises CannotServeError if others do not let it run.
        """

    @abstractmethod
    def shut_down(self) -> None:
        """Completes the writes that have begun, then closes every connection."""

    @abstractmethod
    def rows(self, sql: str, parameters: Parameters) -> list[Row]:
        """Runs a compiled query, within a unit of work as part of it. Raises Unavailable."""

    @abstractmethod
    def run(self, sql: str, parameters: Parameters) -> int:
        """Runs a compiled statement as part of a unit of work; returns the number of rows written.

        Raises UniqueViolationError; the unit of work must then fail.
        """

    @abstractmethod
    def run_each(self, sql: str, rows: Sequence[Parameters]) -> list[int]:
        """Runs a compiled statement for each row of parameters, in order, as `run` does."""

    @abstractmethod
    def write(
        self,
        unit: Callable[[], T],
        *,
        tenant: str = "",
        repeatable: bool = False,
        bulk: bool = False,
    ) -> T:
        """Runs a unit of work in a transaction; returns its result once that is on disk.

        It is work of a tenant, unless that of none alone. An error of the unit rolls
        the transaction back and is raised here. The
        unit may run several times before it is committed; a `repeatable` one
        also after an attempt of which it is not known whether it was committed:
        it must find out. A `bulk` one has the timeout of an upload. Within
        another unit it is a savepoint. Raises Unavailable if nothing was
        committed, and OutcomeUnknown if that is not known.
        """

    @abstractmethod
    def write_one(self, sql: str, parameters: Parameters) -> int:
        """Runs a compiled statement as a repeatable unit of work; returns the rows written.

        Within another unit it is part of that. Raises what `write` raises.
        """

    @abstractmethod
    def probe(self) -> None:
        """Asks the database for an answer, and notes when there is one, within a few seconds.

        It does not compete with calls for a connection. One thread calls.
        """

    def compile(self, statement: peewee.Node) -> str:
        """Returns the SQL of a statement whose values are the names of its parameters."""
        sql, names = self.get_sql_context().sql(statement).query()
        first, *rest = str(sql).split(self.param)
        bound = (
            self.named_parameter.format(name) + part for name, part in zip(names, rest, strict=True)
        )
        compiled = first + "".join(bound)
        if target := find_target(compiled):
            operation, table = target["operation"].lower(), target["table"]
            self.times[compiled] = self.metrics.series(STATEMENTS, operation, table)
        return compiled

    def sample(self) -> None:  # noqa: B027 - a database may have nothing to tell
        """Sets the metrics of what the database has now; to be called again and again."""


@contextmanager
def shut_down_after(database: D) -> Iterator[D]:
    """Yields a database, and shuts it down at the end of the `with` block."""
    try:
        yield database
    finally:
        database.shut_down()
