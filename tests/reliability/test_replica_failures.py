"""Reads of a replica that fails in other ways than by being lost, and which replicas are used."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import psycopg
import pytest
from opentelemetry.context import attach, detach
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import set_span_in_context
from psycopg.conninfo import conninfo_to_dict

from tests.support.client import SECONDS
from tests.support.concurrency import in_background
from tests.support.pgbouncer import pooling
from tests.support.server_process import wait_until
from tests.support.standby import Pair, pair
from twc_customer_server.storage.postgres import Postgres
from twc_customer_server.storage.replica import Position, Replica
from twc_customer_server.storage.replicas import Replicas
from twc_customer_server.storage.traced import TracedReplica
from twc_customer_server.telemetry.families import POOL_CONNECTIONS, REPLICA_READS
from twc_customer_server.telemetry.metrics import OwnMetrics
from twc_customer_server.telemetry.statement_count import counting

# Time for a read of the primary, of which a replica has a quarter.
TIME = 8.0
LONG_TIME = 4.0 * SECONDS

# A query that finds where it runs.
IS_REPLICA = "SELECT pg_is_in_recovery()"
WHERE = {"tenant": "acme"}


class Reads:
    """Reads of a database that a replica may answer, from their construction to `end`."""

    def __init__(
        self, url: str, *replicas: str, max_lag: float = 3600, seconds: float = TIME
    ) -> None:
        self.primary = Postgres(url, 4, seconds, SECONDS)
        self.primary.prepare()
        made = [Replica(it, 2, seconds, max_lag, self.primary.metrics) for it in replicas]
        self.replicas = Replicas(self.primary, made)
        self.replicas.start()
        self._made = made

    def await_used(self, *numbers: int) -> None:
        """Waits until just the replicas with some numbers are used."""
        wait_until(lambda: [at for at, it in enumerate(self._made) if it.is_used()] == [*numbers])

    def is_of_replica(self) -> bool:
        """Makes a read, and tells where that was."""
        [[is_replica]] = self.replicas.reads_since([]).rows(IS_REPLICA, WHERE)
        return bool(is_replica)

    def count(self, result: str) -> float:
        """How many reads were answered in a way."""
        [value] = self.primary.metrics.series(REPLICA_READS, result).values
        return value

    def connections(self, database: str) -> tuple[float, float]:
        """How many connections to the primary or to replicas are in use now, and idle."""
        self.primary.sample()
        self.replicas.sample()
        series = partial(self.primary.metrics.series, POOL_CONNECTIONS, database)
        return series("in_use").values[0], series("idle").values[0]

    def end(self) -> None:
        """Closes every connection."""
        self.replicas.stop()
        self.primary.shut_down()


@pytest.fixture(scope="module")
def servers() -> Iterator[Pair]:
    """A primary, and a standby that no commit waits for."""
    with pair(is_synchronous=False) as servers:
        yield servers


@pytest.fixture
def url(servers: Pair) -> str:
    """The URL of a new database."""
    return servers.database()


@contextmanager
def reading(servers: Pair, url: str, seconds: float) -> Iterator[Reads]:
    """Reads a database that the standby has, and that reads use."""
    reads = Reads(url, servers.replica(url), seconds=seconds)
    try:
        servers.await_replay()
        reads.await_used(0)
        assert reads.is_of_replica()
        yield reads
    finally:
        reads.end()


@pytest.fixture
def reads(servers: Pair, url: str) -> Iterator[Reads]:
    """Reads of a database that the standby has."""
    with reading(servers, url, TIME) as reads:
        yield reads


def on(url: str, *statements: str) -> None:
    """Runs statements in a transaction."""
    with psycopg.connect(url) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def test_position_of_what_was_seen(servers: Pair, url: str, reads: Reads) -> None:
    """After a read of a replica its caller is to see no less, though it asked for less."""
    early = reads.replicas.position("acme")
    assert early
    on(url, "CREATE TABLE seen AS SELECT 1 AS one")
    late = reads.replicas.position("acme")
    servers.await_replay()
    session = reads.replicas.reads_since([early])
    assert session.rows("SELECT one FROM seen", WHERE) == [(1,)]
    seen = session.position("acme")
    assert late
    assert seen
    assert seen >= late


def test_conflict_with_replay(servers: Pair, url: str) -> None:
    """A query that is ended since it keeps the replica from replaying is the primary's."""
    on(url, "CREATE TABLE held AS SELECT 1 AS one")
    servers.on_standby("ALTER SYSTEM SET max_standby_streaming_delay = 0")
    servers.on_standby("SELECT pg_reload_conf()")
    query = "SELECT one FROM held WHERE NOT pg_is_in_recovery() OR pg_sleep(3600) IS NOT NULL"
    running = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    with reading(servers, url, LONG_TIME) as reads:
        [read] = in_background([partial(reads.replicas.reads_since([]).rows, query, WHERE)])
        wait_until(lambda: bool(servers.on_standby(running)))
        on(url, "LOCK TABLE held")
        assert read.result(SECONDS) == [(1,)]
        assert reads.count("conflict") == 1
        assert reads.is_of_replica()


def test_lock_that_was_replayed(servers: Pair, url: str, reads: Reads) -> None:
    """A query that waits on the replica for a lock of the primary is soon the primary's."""
    on(url, "CREATE TABLE held AS SELECT 1 AS one")
    with psycopg.connect(url) as holder:
        holder.execute("LOCK TABLE held")
        # Has the lock written, which a commit does.
        on(url, "CREATE TABLE other ()")
        servers.await_replay()
        with servers.paused_replay():
            holder.rollback()
            assert reads.replicas.reads_since([]).rows("SELECT one FROM held", WHERE) == [(1,)]
    assert reads.count("failed") == 1
    assert reads.is_of_replica()


def test_schema_that_is_not_replayed(servers: Pair, url: str, reads: Reads) -> None:
    """A query of what the replica has not yet, as after a migration, is the primary's."""
    with servers.paused_replay():
        on(url, "CREATE TABLE later AS SELECT 1 AS one")
        assert reads.replicas.reads_since([]).rows("SELECT one FROM later", WHERE) == [(1,)]
        on(url, "ALTER TABLE customer ADD COLUMN later integer")
        assert reads.replicas.reads_since([]).rows("SELECT max(later) FROM customer", WHERE) == [
            (None,)
        ]
    assert reads.count("failed") == 2


def test_database_that_is_not_there_yet(servers: Pair) -> None:
    """A replica without the database is left out until it has it."""
    with servers.paused_replay():
        url = servers.database()
        reads = Reads(url, servers.replica(url))
        try:
            assert not reads.is_of_replica()
        except BaseException:
            reads.end()
            raise
    try:
        reads.await_used(0)
        assert reads.is_of_replica()
    finally:
        reads.end()


def test_old_pooler(servers: Pair, url: str, caplog: pytest.LogCaptureFixture) -> None:
    """A pooler of a replica that cannot prepare statements is told of, as one of the primary."""
    servers.await_replay()
    with pooling(servers.replica(url)) as pooler:
        reads = Reads(url, pooler.url)
        try:
            reads.await_used(0)
            assert reads.is_of_replica()
        finally:
            reads.end()
    assert ("the pooler of DATABASE_READ_URLS" in caplog.text) is not pooler.prepares


def test_connections(servers: Pair, url: str) -> None:
    """The metrics tell how many connections to all replicas are in use, and how many are not."""
    servers.await_replay()
    reads = Reads(url, servers.replica(url), servers.replica(url), seconds=LONG_TIME)
    query = "SELECT 1 WHERE NOT pg_is_in_recovery() OR pg_sleep(3600) IS NOT NULL"
    sleeping = "FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    try:
        reads.await_used(0, 1)
        wait_until(lambda: reads.connections("replica") == (0, 2))
        [read] = in_background([partial(reads.replicas.reads_since([]).rows, query, WHERE)])
        wait_until(lambda: reads.connections("replica") == (1, 1))
        assert reads.connections("primary")[0] == 0
        wait_until(lambda: bool(servers.on_standby(f"SELECT pg_cancel_backend(pid) {sleeping}")))
        assert read.result(SECONDS) == [(1,)]
        wait_until(lambda: reads.connections("replica") == (0, 2))
    finally:
        reads.end()


def test_lag(servers: Pair, url: str) -> None:
    """A replica that lags for longer than it may is left out, until it has caught up."""
    reads = Reads(url, servers.replica(url), max_lag=3)
    try:
        reads.await_used(0)
        with servers.paused_replay():
            on(url, "CREATE TABLE later AS SELECT 1 AS one")
            reads.await_used()
            assert not reads.is_of_replica()
        reads.await_used(0)
    finally:
        reads.end()


def test_others_are_used(servers: Pair, url: str) -> None:
    """Of several replicas those that are none, or are away, are left out."""
    away = "postgresql://?host=/nowhere&dbname=postgres&user=postgres"
    reads = Reads(url, url, servers.replica(url), away)
    try:
        reads.await_used(1)
        assert all(reads.is_of_replica() for _ in range(5))
    finally:
        reads.end()


def test_promotion() -> None:
    """A replica that is promoted is left out, and a token of what it lacks leads to the primary."""
    with pair(is_synchronous=False) as servers:
        url = servers.database()
        reads = Reads(url, servers.replica(url))
        try:
            servers.await_replay()
            reads.await_used(0)
            position = reads.replicas.position("acme")
            assert position
            ahead = Position(position.system, position.wal + (1 << 30))
            servers.on_standby("SELECT pg_promote()")
            assert not reads.is_of_replica()
            reads.await_used()
            session = reads.replicas.reads_since([ahead])
            assert session.rows(IS_REPLICA, WHERE) == [(False,)]
            now = session.position("acme")
            assert now
            assert now < ahead
        finally:
            reads.end()


def test_span(servers: Pair, url: str) -> None:
    """A statement of a traced call has a span that names the replica, and not what it asks for."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    on(url, "CREATE TABLE customer AS SELECT 1 AS one")
    servers.await_replay()
    target = servers.replica(url)
    replica = TracedReplica(tracer, target, 2, TIME, 3600, OwnMetrics())
    replica.start(lambda *_: 0.0)
    traced, _ = counting(set_span_in_context(tracer.start_span("call")))
    token = attach(traced)
    try:
        rows, _ = replica.read('SELECT one FROM "customer"', WHERE, 0)
    finally:
        detach(token)
        replica.stop()
    assert rows == [(1,)]
    [span] = exporter.get_finished_spans()
    assert span.name == "SELECT customer"
    assert span.attributes
    assert span.attributes["server.address"] == conninfo_to_dict(target)["host"]
