"""A server that starts while its database is away waits for it, and says why it gives up."""

import signal
import time

import pytest

from tests.reliability.calls import Open
from tests.reliability.proxy import Proxy
from tests.support.builders import customer
from tests.support.client import SECONDS
from tests.support.server_process import Start, wait_until
from twc_customer_server.storage.database import CannotServeError
from twc_customer_server.storage.postgres import Postgres

PASSWORD = "do-not-tell"  # noqa: S105 - nobody's
WAITING = "the database cannot be reached; trying again in "


def test_late_database(start: Start, proxy: Proxy) -> None:
    """A server waits for its database, longer from try to try, and serves when that is there."""
    with proxy.away():
        server = start(wait=False)
        wait_until(lambda: server.log().count(WAITING) >= 3)
    server.wait_ready()
    pauses = [float(it.split()[0]) for it in server.log().split(WAITING)[1:]]
    assert pauses == sorted(pauses)
    assert pauses[0] < pauses[-1]
    client = server.client("acme")
    created = client.create(customer())
    assert client.get(created.id) == created
    assert server.stop() == 0


def test_missing_database(start: Start, proxy: Proxy) -> None:
    """A server without a database gives up after its time, and says what it could not reach."""
    with proxy.away():
        began = time.monotonic()
        server = start(
            wait=False, DATABASE_URL=proxy.url(password=PASSWORD), DATABASE_WAIT_SECONDS="1"
        )
        assert server.process.wait(SECONDS) == 1
    assert time.monotonic() - began > 1
    log = server.log()
    assert "\nthe database of DATABASE_URL cannot be reached: " in log
    assert "Connection refused" in log
    assert PASSWORD not in log
    assert "Traceback" not in log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_during_a_try(start: Start, proxy: Proxy, number: signal.Signals) -> None:
    """A signal ends a server at once that waits for a database which does not answer."""
    with proxy.stalled():
        server = start(wait=False, DATABASE_URL=proxy.url(connect_timeout=str(SECONDS)))
        wait_until(lambda: proxy.held > 0)
        server.process.send_signal(number)
        assert server.process.wait(SECONDS / 4) == 0
    assert "Traceback" not in server.log()


def test_stop_between_tries(start: Start, proxy: Proxy) -> None:
    """A signal ends a server at once that waits to try again."""
    with proxy.away():
        server = start(wait=False, DATABASE_WAIT_SECONDS="3600")
        wait_until(lambda: f"{WAITING}0.4" in server.log())
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(SECONDS) == 0


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"dbname": "nowhere"}, 'database "nowhere" does not exist'),
        ({"user": "nobody"}, 'role "nobody" does not exist'),
        ({"connect_timeout": "soon"}, "connect_timeout: 'soon'"),
        ({"sslmode": "some"}, 'invalid sslmode value: "some"'),
    ],
)
def test_wrong_url(proxy: Proxy, changed: dict[str, str], reason: str) -> None:
    """A database that cannot be had by its URL is told with the reason, without the password."""
    database = Postgres(proxy.url(password=PASSWORD, **changed), 1, 1, wait_seconds=0.1)
    with pytest.raises(CannotServeError, match="DATABASE_URL") as told:
        database.prepare()
    assert reason in str(told.value)
    assert PASSWORD not in str(told.value)


def test_wrong_password(proxy: Proxy) -> None:
    """A password that the database refuses is told as such, and not repeated."""
    proxy.deny("28P01", 'password authentication failed for user "customers"')
    database = Postgres(proxy.url(password=PASSWORD), 1, 1, wait_seconds=0.1)
    with pytest.raises(CannotServeError, match="password authentication failed") as told:
        database.prepare()
    assert PASSWORD not in str(told.value)


def test_database_lost_during_preparation(proxy: Proxy) -> None:
    """A database that is lost while its version is looked at is told as such."""
    proxy.cut_before("migration")
    database = Postgres(proxy.url(password=PASSWORD), 1, 1, wait_seconds=0)
    with pytest.raises(CannotServeError, match="the database failed: ") as told:
        database.prepare()
    assert PASSWORD not in str(told.value)
    database.prepare()
    database.shut_down()


def test_first_call(proxy: Proxy) -> None:
    """A database that is prepared has a connection for the first call, however slow they open."""
    proxy.delay = 0.2
    database = Postgres(proxy.url(), 1, seconds=SECONDS, wait_seconds=0)
    try:
        database.prepare()
        proxy.deny("57P03", "the database system is shutting down")
        assert database.rows("SELECT 1", {}) == [(1,)]
    finally:
        database.shut_down()


def test_no_connection_for_calls(proxy: Proxy) -> None:
    """A database that lets no connection serve calls is given up after its time."""
    proxy.fail("pg_settings", "53000", times=1000)
    database = Postgres(proxy.url(password=PASSWORD), 1, 1, wait_seconds=0.1)
    try:
        with pytest.raises(CannotServeError, match="DATABASE_URL") as told:
            database.prepare()
    finally:
        database.shut_down()
    assert PASSWORD not in str(told.value)


def test_database_prepared_twice(opened: Open) -> None:
    """A database may be prepared again, and serves on."""
    database = opened()
    database.prepare()
    assert database.rows("SELECT 1", {}) == [(1,)]
