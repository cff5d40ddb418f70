"""The end of a server whose calls are with the database: it waits for them, but not for ever."""

import signal
from functools import partial

import grpc
import pytest

from tests.reliability.calls import Open
from tests.reliability.proxy import Proxy
from tests.reliability.sessions import Ask, locked_table, stored, waiting
from tests.support import builders
from tests.support.client import SECONDS
from tests.support.concurrency import in_background
from tests.support.server_process import Start, wait_until
from tests.support.stores import insert, stamped
from twc_customer_server.errors import Unavailable
from twc_customer_server.storage.rows import Key
from twc_customer_server.storage.store import CustomerStore


def test_running_write(opened: Open, proxy: Proxy, ask: Ask) -> None:
    """A write that has begun when the database is shut down is ended first."""
    database = opened()
    store = CustomerStore(database)
    read = partial(store.get, "acme", Key.id(insert(store, "acme").id))
    with locked_table(ask):
        reads = in_background([read] * 2)
        wait_until(lambda: waiting(ask) == 2)
    assert [it.exception(SECONDS) for it in reads] == [None] * 2
    with proxy.stalled():
        [write] = in_background([lambda: insert(store, "acme")])
        wait_until(lambda: proxy.held > 0)
        [shut_down] = in_background([database.shut_down])
        # The farewell of the connection that is not lent.
        wait_until(lambda: proxy.held > 1)
    assert write.result(SECONDS).id in stored(ask)
    assert shut_down.exception(SECONDS) is None
    with pytest.raises(Unavailable):
        read()


def test_stuck_write(opened: Open, proxy: Proxy) -> None:
    """A call that gets no answer does not keep the database from being shut down."""
    database = opened(seconds=2)
    store = CustomerStore(database)
    with proxy.stalled():
        [write] = in_background([lambda: store.insert_each("acme", [stamped()])])
        wait_until(lambda: proxy.held > 0)
        database.shut_down()
        # Half of the time that it would have had.
        assert isinstance(write.exception(12), Unavailable)


def test_stuck_process(start: Start, ask: Ask) -> None:
    """A server whose calls wait for the database beyond their time ends all the same."""
    server = start(DATABASE_TIMEOUT_SECONDS="3", GRACE_SECONDS="0")
    client = server.client("acme")
    with locked_table(ask):
        [upload] = in_background([lambda: client.upload([builders.customer()])])
        wait_until(lambda: waiting(ask) == 1)
        server.process.send_signal(signal.SIGTERM)
        # The upload would have 36 seconds.
        assert server.process.wait(25) == 0
    assert isinstance(upload.exception(SECONDS), grpc.RpcError)
    assert "Traceback" not in server.log()
