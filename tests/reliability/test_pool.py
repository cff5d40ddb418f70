"""What the metrics tell of connections to PostgreSQL, and of calls that wait for one."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.reliability.calls import Open
from tests.support.client import SECONDS
from tests.support.server_process import wait_until
from tests.support.stores import stamped
from twc_customer_server.errors import Unavailable
from twc_customer_server.storage.postgres import Postgres
from twc_customer_server.storage.rows import Key
from twc_customer_server.storage.store import CustomerStore
from twc_customer_server.telemetry.families import (
    POOL_CONNECTIONS,
    POOL_TIMEOUTS,
    POOL_WAITING,
    POOL_WAITS,
    STATEMENTS,
)


def _gauges(database: Postgres) -> tuple[float, ...]:
    """Connections in use and idle, and calls that wait, now."""
    database.sample()
    series = database.metrics.series
    found = (
        series(POOL_CONNECTIONS, "primary", "in_use"),
        series(POOL_CONNECTIONS, "primary", "idle"),
        series(POOL_WAITING, "primary"),
    )
    return tuple(each.values[0] for each in found)


def test_waits_and_timeouts(opened: Open) -> None:
    """A call that waits for a connection is told now, and its wait and timeout afterwards."""
    # A call waits for a quarter of it, while it is looked at how many wait.
    database = opened(pool_size=1, seconds=12)
    store = CustomerStore(database)
    wait_until(lambda: _gauges(database) == (0, 1, 0))
    waits_before, _ = database.metrics.series(POOL_WAITS, "primary").values
    [timeouts_before] = database.metrics.series(POOL_TIMEOUTS, "primary").values
    release = threading.Event()
    with ThreadPoolExecutor(2) as threads:
        holding = threads.submit(database.write, lambda: release.wait(SECONDS))
        wait_until(lambda: _gauges(database) == (1, 0, 0))
        late = threads.submit(store.get, "acme", Key.id("x"))
        wait_until(lambda: _gauges(database) == (1, 0, 1))
        with pytest.raises(Unavailable):
            late.result(SECONDS)
        release.set()
        holding.result(SECONDS)
    wait_until(lambda: _gauges(database) == (0, 1, 0))

    waits, seconds = database.metrics.series(POOL_WAITS, "primary").values
    assert waits - waits_before == 1
    assert 0 <= seconds < SECONDS
    assert database.metrics.series(POOL_TIMEOUTS, "primary").values == [timeouts_before + 1]


def test_statements(opened: Open) -> None:
    """Statements are counted, each row of a list as one, with the time that they took."""
    database = opened()
    store = CustomerStore(database)
    store.insert("acme", stamped())
    store.insert_each("acme", [stamped(), stamped()])
    inserts, seconds = database.metrics.series(STATEMENTS, "insert", "customer").values

    assert inserts == 3
    assert 0 < seconds < SECONDS
