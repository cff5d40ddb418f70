"""A database that is away: every call says so, at once, and is served again when it is back."""

import threading
import time
from functools import partial

from tests.reliability.calls import (
    CALLS,
    POOL,
    SeededServer,
    Serve,
    assert_unavailable,
    assert_whole,
    fails,
    wait_served,
)
from tests.reliability.proxy import Proxy
from tests.reliability.sessions import Ask, stored
from tests.support import builders
from tests.support.client import SECONDS
from tests.support.concurrency import in_background
from tests.support.server_process import wait_until

# Longer than the pool tries to open a connection before it gives up.
OUTAGE_SECONDS = 2.5

# The pool asks for connections every second, at least; the rest is for a busy machine.
RECOVERY_SECONDS = 10

# A read waits for a connection a quarter of its time, which makes 75 seconds for
# 100 calls of four threads, if each waited.
MANY_TIMEOUT_SECONDS = 12
MANY_SECONDS = 25


def assert_recovers(service: SeededServer) -> None:
    """Asserts that calls succeed again after a few seconds, and from then on."""
    began = time.monotonic()
    wait_served(service)
    assert time.monotonic() - began < RECOVERY_SECONDS
    for _ in range(2 * POOL):
        service.client.get(service.customer.id)


def test_every_call(serve: Serve, proxy: Proxy, ask: Ask) -> None:
    """While the database is away every call is UNAVAILABLE, at once, and the server is healthy."""
    service = serve()
    with proxy.away():
        for call in CALLS.values():
            assert_unavailable(partial(call, service.client, service.customer))
        assert service.is_healthy()
    assert_recovers(service)
    assert stored(ask) == [service.customer.id]
    assert_whole(service, ask)


def test_many_calls(serve: Serve, proxy: Proxy) -> None:
    """Many more calls than the server has threads need not wait for each other to be told."""
    service = serve(threads=POOL, database_timeout_seconds=MANY_TIMEOUT_SECONDS)
    with proxy.away():
        calls = in_background(
            [lambda: fails(lambda: service.client.get(service.customer.id))] * 100
        )
        began = time.monotonic()
        assert [call.result(SECONDS) for call in calls] == [True] * 100
        assert time.monotonic() - began < MANY_SECONDS
        assert service.is_healthy()


def test_long_outage(serve: Serve, proxy: Proxy, ask: Ask) -> None:
    """A pool that has given up all its connections has them again after a few seconds."""
    service = serve()
    assert_whole(service, ask)
    with proxy.away():
        time.sleep(OUTAGE_SECONDS)
    assert_recovers(service)
    assert_whole(service, ask)


def test_short_outage(serve: Serve, proxy: Proxy, ask: Ask) -> None:
    """A call that comes while connections are opened anew waits for one, and is served."""
    service = serve()
    assert_whole(service, ask)
    proxy.cut()
    calls = in_background([lambda: service.client.get(service.customer.id)] * 3 * POOL)
    assert [call.result(SECONDS) for call in calls] == [service.customer] * 3 * POOL
    assert_whole(service, ask)


def test_outages_under_load(serve: Serve, proxy: Proxy, ask: Ask) -> None:
    """What was answered as created is there, once, however often the database was away."""
    service = serve()
    created: list[str] = []
    is_over = threading.Event()

    def create_on() -> None:
        while not is_over.is_set():
            given = builders.customer()
            if not fails(partial(service.client.create, given)):
                created.append(given.email)

    def create_more() -> None:
        enough = len(created) + 20
        wait_until(lambda: len(created) > enough)

    creating = in_background([create_on] * 2 * POOL)
    for _ in range(4):
        create_more()
        proxy.cut()
        create_more()
        with proxy.away():
            assert service.is_healthy()
    create_more()
    is_over.set()
    assert [it.exception(SECONDS) for it in creating] == [None] * 2 * POOL
    emails = stored(ask, "email_key")
    assert len(set(emails)) == len(emails)
    assert set(created) <= set(emails)
    assert_whole(service, ask)
