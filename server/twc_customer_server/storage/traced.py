"""Traces what calls do in the database, by OpenTelemetry's conventions for databases.

Spans have the operation and the table of a statement, never its SQL or a parameter. Work in the
background, and calls that are not sampled, have none.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import peewee
import psycopg
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    get_current_span,
    set_span_in_context,
    use_span,
)
from psycopg.conninfo import conninfo_to_dict

from twc_customer_server.errors import DatabaseDamaged, OutcomeUnknown, Unavailable
from twc_customer_server.storage.database import (
    Parameters,
    Row,
    UniqueViolationError,
    find_target,
)
from twc_customer_server.storage.group_commit import GroupCommitter
from twc_customer_server.storage.postgres import Postgres
from twc_customer_server.storage.replica import Replica
from twc_customer_server.storage.sqlite import Sqlite
from twc_customer_server.telemetry import statement_count
from twc_customer_server.telemetry.metrics import OwnMetrics

T = TypeVar("T")

# Failures of the database; other errors of a unit of work are decisions of its caller.
_FAILURES = (
    sqlite3.Error,
    peewee.PeeweeException,
    psycopg.Error,
    UniqueViolationError,
    Unavailable,
    OutcomeUnknown,
    DatabaseDamaged,
)

TRANSACTION = "transaction"


class _Spans:
    """Makes the spans of a database's statements and transactions."""

    def __init__(self, tracer: Tracer, attributes: Mapping[str, str]) -> None:
        self.attributes = dict(attributes)
        self.tracer = tracer
        # By the SQL of each compiled statement.
        self._statements: dict[str, dict[str, str]] = {}

    def remember(self, sql: str) -> str:
        """Remembers what a compiled statement does; returns it."""
        if target := find_target(sql):
            operation, table = target["operation"], target["table"]
            self._statements[sql] = self.attributes | {
                "db.operation.name": operation,
                "db.collection.name": table,
                "db.query.summary": f"{operation} {table}",
            }
        return sql

    def statement(self, sql: str, rows: int = 1) -> AbstractContextManager[object]:
        """Returns the span of a statement, for a `with` block; none if the call has no more."""
        count = statement_count.current()
        if not (count and get_current_span().is_recording() and count.count()):
            return nullcontext()
        attributes: dict[str, Any] = {**self._statements.get(sql, self.attributes)}
        if rows > 1:
            attributes["db.operation.batch.size"] = rows
        return self.within(attributes.get("db.query.summary", "statement"), attributes)

    def transaction(self) -> AbstractContextManager[object]:
        """Returns the span of a transaction, for a `with` block; none if the call has none."""
        if not get_current_span().is_recording():
            return nullcontext()
        return self.within(TRANSACTION, self.attributes, SpanKind.INTERNAL)

    @contextmanager
    def within(
        self, name: str, attributes: Mapping[str, Any], kind: SpanKind = SpanKind.CLIENT
    ) -> Iterator[None]:
        """Runs a `with` block within a span, which tells a failure, but not its message."""
        span = self.tracer.start_span(name, kind=kind, attributes=attributes)
        try:
            with use_span(span, record_exception=False, set_status_on_exception=False):
                yield
        except _FAILURES as error:
            _set_failure(span, error)
            raise
        finally:
            span.end()


def _set_failure(span: Span, error: Exception) -> None:
    code = getattr(error, "sqlstate", None)
    if code:
        span.set_attribute("db.response.status_code", code)
    span.set_attribute("error.type", code or type(error).__name__)
    span.set_status(Status(StatusCode.ERROR))


class _TracedUnit:
    """A unit of work that runs on the writing thread within the span of its transaction."""

    def __init__(self, unit: Callable[[], Any]) -> None:
        self.span = get_current_span()
        self._unit = unit
        self._context = copy_context()

    def __call__(self) -> Any:
        return self._context.run(self._unit)


class TracedCommitter(GroupCommitter):
    """Commits in groups, each within a span that is linked with those of all its writes."""

    def __init__(self, spans: _Spans, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._spans = spans

    def run(self, unit: Callable[[], T], tenant: str = "", *, is_statement: bool = False) -> T:
        """Runs a unit within the span of a transaction, if its call is traced."""
        if not get_current_span().is_recording():
            return super().run(unit, tenant, is_statement=is_statement)
        with self._spans.transaction():
            result: T = super().run(_TracedUnit(unit), tenant, is_statement=is_statement)
            return result

    def _commit(self, group: list[Any], began: float) -> None:
        """Commits a group; the span of that is in the trace of its first write."""
        writes = [it.unit.span for it in group if isinstance(it.unit, _TracedUnit)]
        if not writes:
            super()._commit(group, began)
            return
        first, *others = writes
        attributes: dict[str, Any] = self._spans.attributes | {"db.operation.name": "COMMIT"}
        if len(group) > 1:
            attributes["db.operation.batch.size"] = len(group)
        commit = self._spans.tracer.start_span(
            "COMMIT",
            set_span_in_context(first),
            SpanKind.CLIENT,
            attributes,
            [Link(it.get_span_context()) for it in others],
        )
        for write in others:
            write.add_link(commit.get_span_context())
        try:
            super()._commit(group, began)
        finally:
            commit.end()


class TracedSqlite(Sqlite):
    """A SQLite file whose statements, transactions and commits have spans."""

    def __init__(self, tracer: Tracer, path: Path, metrics: OwnMetrics | None = None) -> None:
        self._spans = _Spans(tracer, {"db.system.name": "sqlite"})
        super().__init__(path, metrics, partial(TracedCommitter, self._spans))

    def compile(self, statement: peewee.Node) -> str:
        """Returns the SQL of a statement."""
        return self._spans.remember(super().compile(statement))

    def rows(self, sql: str, parameters: Parameters) -> list[Row]:
        """Runs a compiled query."""
        with self._spans.statement(sql):
            return super().rows(sql, parameters)

    def run(self, sql: str, parameters: Parameters) -> int:
        """Runs a compiled statement of a unit of work."""
        with self._spans.statement(sql):
            return super().run(sql, parameters)


def _attributes(url: str) -> dict[str, str]:
    """Returns what the spans of a PostgreSQL database say of it."""
    place = conninfo_to_dict(url)
    known = {"db.namespace": place.get("dbname"), "server.address": place.get("host")}
    present = {name: str(value) for name, value in known.items() if value}
    return {"db.system.name": "postgresql", **present}


class TracedReplica(Replica):
    """A replica whose statements have spans."""

    def __init__(self, tracer: Tracer, url: str, *arguments: Any) -> None:
        super().__init__(url, *arguments)
        self._spans = _Spans(tracer, _attributes(url))

    def read(self, sql: str, parameters: Parameters, at_least: int) -> tuple[list[Row], int]:
        """Runs a compiled query, which the primary has compiled."""
        with self._spans.statement(self._spans.remember(sql)):
            return super().read(sql, parameters, at_least)


class TracedPostgres(Postgres):
    """A PostgreSQL database whose statements and transactions have spans."""

    def __init__(self, tracer: Tracer, url: str, *arguments: Any) -> None:
        super().__init__(url, *arguments)
        self._spans = _Spans(tracer, _attributes(url))

    def compile(self, statement: peewee.Node) -> str:
        """Returns the SQL of a statement."""
        return self._spans.remember(super().compile(statement))

    def run_each(self, sql: str, rows: Sequence[Parameters]) -> list[int]:
        """Runs a compiled statement for all rows of parameters."""
        with self._spans.statement(sql, len(rows)):
            return super().run_each(sql, rows)

    def _execute(self, sql: str, parameters: Parameters) -> psycopg.Cursor[Any]:
        with self._spans.statement(sql):
            return super()._execute(sql, parameters)

    def _transact(self, unit: Callable[[], T], *, bulk: bool) -> T:
        """Runs a unit in a transaction; each attempt has a span."""
        with self._spans.transaction():
            return super()._transact(unit, bulk=bulk)
