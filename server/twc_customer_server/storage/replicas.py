"""Chooses for each read whether a replica or the primary answers it.

A call that accepts what is not the newest says what it must see at least. A replica that has
replayed that answers it; whatever is wrong with one, the primary answers instead.
"""

import math
import time
from collections import deque
from collections.abc import Sequence
from itertools import count

import psycopg
from psycopg_pool import PoolTimeout

from twc_customer_server.concurrency.periodic import Periodic
from twc_customer_server.errors import Unavailable
from twc_customer_server.storage.database import Parameters, Reader, Row
from twc_customer_server.storage.postgres import Postgres
from twc_customer_server.storage.postgres_errors import CONTENDED
from twc_customer_server.storage.replica import (
    LOOK_SECONDS,
    BehindError,
    Position,
    Replica,
    look_sql,
    position_sql,
)
from twc_customer_server.telemetry.families import REPLICA_LAG, REPLICA_READS, REPLICAS

# Lags are known up to this time.
_KNOWN_SECONDS = 3600

# All that is visible is before this position, also a commit that did not wait for the disk.
_POSITION = position_sql("pg_current_wal_insert_lsn()", "NOT pg_is_in_recovery()")
_ASK_POSITION = f"SELECT {_POSITION}"
_LOOK = look_sql(_POSITION)

# The rows of a read, and a position beyond which nothing was seen.
Seen = tuple[list[Row], Position]


class Replicas:
    """The replicas of a primary, at which threads look from `start` to `stop`."""

    def __init__(self, primary: Postgres, replicas: Sequence[Replica]) -> None:
        self._primary = primary
        self._replicas = replicas
        self._probe = primary.new_probe()
        self._looks = Periodic("primary-position", LOOK_SECONDS, self._look)
        # Of the primary, each with its time by the monotonic clock, the last one first.
        self._positions: deque[tuple[float, Position]] = deque(
            maxlen=round(_KNOWN_SECONDS / LOOK_SECONDS)
        )
        self._turns = count()
        [results] = REPLICA_READS.labels.values()
        self._counts = {it: primary.metrics.series(REPLICA_READS, it) for it in results}

    def start(self) -> None:
        """Begins to look; a replica is used once it was looked at."""
        self._looks.start()
        for replica in self._replicas:
            replica.start(self._lag_of)

    def stop(self) -> None:
        """Waits for looks in progress, and closes every connection to a replica."""
        for replica in self._replicas:
            replica.stop()
        self._looks.stop()
        self._probe.close()

    def sample(self) -> None:
        """Sets the metrics of the replicas; to be called again and again."""
        for replica in self._replicas:
            replica.sample()
        used = sum(replica.is_used() for replica in self._replicas)
        metrics = self._primary.metrics
        metrics.series(REPLICAS, "used").set(used)
        metrics.series(REPLICAS, "left_out").set(len(self._replicas) - used)
        lags = [it.lag_seconds for it in self._replicas if it.lag_seconds < math.inf]
        metrics.series(REPLICA_LAG).set(max(lags, default=0))

    def reads_since(self, positions: Sequence[Position]) -> "ReadSession":
        """Returns reads that see all up to some positions, or whatever a replica has if none.

        Those of another database cannot be compared: then the primary answers.
        """
        known = self._last()
        if not known or any(position.system != known.system for position in positions):
            return self.latest_reads()
        return ReadSession(self, max(positions, default=Position(0, 0)))

    def latest_reads(self) -> "ReadSession":
        """Returns reads of the primary."""
        return ReadSession(self, None)

    def reads_of_now(self, tenant: str) -> Reader:
        """Returns reads that see all that is committed now, of replicas as soon as they have it."""
        position = self.position(tenant)
        return _ReadsOfNow(self, position) if position else self._primary

    def position(self, tenant: str) -> Position | None:
        """Returns the position of the primary, None if that cannot be known."""
        try:
            [[wal]] = self._primary.rows(_ASK_POSITION, {"tenant": tenant})
        except Unavailable:
            return None
        known = self._last()
        return Position(known.system, wal) if known and wal is not None else None

    def read_primary(self, sql: str, parameters: Parameters) -> list[Row]:
        """Runs a compiled query on the primary. Raises Unavailable."""
        return self._primary.rows(sql, parameters)

    def read(self, sql: str, parameters: Parameters, required: Position | None) -> Seen | None:
        """Runs a compiled query on a replica that has all up to a position.

        Returns None if the primary is to be asked, as where a replica finds nothing: what was
        created a moment ago is there for everyone. No position is that of the primary.
        """
        seen = None
        if required is None:
            result = "latest"
        elif (replica := self._choose(required.wal)) is None:
            result = "left_out"
        else:
            result, seen = self._read(replica, sql, parameters, required)
        self._counts[result].add()
        return seen

    def _choose(self, at_least: int) -> Replica | None:
        """Returns the next replica in turn, of those that are known to be far enough, if any is."""
        used = [replica for replica in self._replicas if replica.is_used()]
        far_enough = [replica for replica in used if replica.replayed >= at_least] or used
        return far_enough[next(self._turns) % len(far_enough)] if far_enough else None

    def _read(
        self, replica: Replica, sql: str, parameters: Parameters, required: Position
    ) -> tuple[str, Seen | None]:
        """Returns what became of a read of a replica, and what it has seen."""
        try:
            rows, wal = replica.read(sql, parameters, required.wal)
        except BehindError:
            return "lag", None
        except PoolTimeout:
            return "busy" if replica.is_used() else "failed", None
        except psycopg.Error as error:
            # What is wrong with the query is found by the primary as well.
            return "conflict" if error.sqlstate in CONTENDED else "failed", None
        if not rows:
            return "nothing_found", None
        return "replica", (rows, Position(self._positions[0][1].system, max(wal, required.wal)))

    def _last(self) -> Position | None:
        """Returns where the primary was at the last look that found it."""
        return self._positions[0][1] if self._positions else None

    def _look(self) -> None:
        began = time.monotonic()
        found = self._probe.ask(_LOOK)
        if found and found[1] is not None:
            self._positions.appendleft((began, Position(*found)))

    def _lag_of(self, position: Position, now: float) -> float:
        """Returns the time, at most, since the primary was at a position."""
        for time_of, known in tuple(self._positions):
            if known.system == position.system and known.wal <= position.wal:
                return max(0.0, now - time_of)
        return math.inf


class ReadSession:
    """The reads of one call. Once the primary has answered one, it answers all that follow."""

    def __init__(self, replicas: Replicas, required: Position | None) -> None:
        self._replicas = replicas
        self._required = required

    def rows(self, sql: str, parameters: Parameters) -> list[Row]:
        """Runs a compiled query. Raises Unavailable."""
        if seen := self._replicas.read(sql, parameters, self._required):
            rows, self._required = seen
            return rows
        self._required = None
        return self._replicas.read_primary(sql, parameters)

    def position(self, tenant: str) -> Position | None:
        """Returns a position that has all that was read, None if that cannot be known."""
        return self._required or self._replicas.position(tenant)


class _ReadsOfNow:
    """Reads that see all up to a position, each of a replica that has it, or of the primary."""

    def __init__(self, replicas: Replicas, position: Position) -> None:
        self._replicas = replicas
        self._position = position

    def rows(self, sql: str, parameters: Parameters) -> list[Row]:
        """Runs a compiled query. Raises Unavailable."""
        seen = self._replicas.read(sql, parameters, self._position)
        return seen[0] if seen else self._replicas.read_primary(sql, parameters)
