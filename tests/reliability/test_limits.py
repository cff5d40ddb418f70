"""What waits for others, for a lock or for a connection, does not wait longer than its time."""

import time
from functools import partial

from tests.reliability.calls import (
    CALLS,
    READS,
    Open,
    Serve,
    assert_all_unavailable,
    assert_clean,
    assert_unavailable,
    assert_whole,
    fails,
    wait_served,
)
from tests.reliability.proxy import Proxy
from tests.reliability.sessions import Ask, locked_rows, locked_table, processes, waiting
from tests.support import builders
from tests.support.client import SECONDS
from tests.support.concurrency import in_background
from tests.support.server_process import wait_until

# DATABASE_TIMEOUT_SECONDS, and what a busy machine may take on top of what is right.
TIME = 0.5
SLACK = 4


def test_locked_rows(serve: Serve, ask: Ask) -> None:
    """Writes that another session's lock holds up are UNAVAILABLE in time; connections stay."""
    service = serve(database_timeout_seconds=TIME)
    names = ("UpdateCustomer", "AddCustomerAddress", "DeleteCustomer", "DeleteCustomerByRef")
    before = processes(ask)
    with locked_rows(ask):
        assert_all_unavailable(service, names, 3 * TIME + SLACK)
    assert before <= processes(ask)
    assert_clean(ask)
    for name in names:
        CALLS[name](service.client, service.customer)


def test_locked_table(serve: Serve, ask: Ask) -> None:
    """Reads that another session's lock holds up are UNAVAILABLE in time."""
    service = serve(database_timeout_seconds=TIME)
    with locked_table(ask):
        assert_all_unavailable(service, READS, TIME + SLACK)
    assert_clean(ask)
    wait_served(service)


def test_patient_upload(serve: Serve, ask: Ask) -> None:
    """A list waits longer for others than a read may, and is then stored."""
    service = serve(database_timeout_seconds=TIME)
    with locked_table(ask):
        [upload] = in_background([lambda: service.client.upload([builders.customer()])])
        wait_until(lambda: waiting(ask) == 1)
        assert fails(lambda: service.client.get(service.customer.id))
    [result] = upload.result(SECONDS)
    assert service.client.get(result.customer.id) == result.customer


def test_thoughtful_upload(opened: Open) -> None:
    """A list in whose transaction the server thinks for longer than a read may take is stored."""
    database = opened(seconds=TIME)
    runs: list[int] = []

    def unit() -> int:
        database.rows("SELECT 1", {})
        time.sleep(2 * TIME)
        runs.append(1)
        return len(database.rows("SELECT 1", {}))

    assert database.write(unit, bulk=True) == 1
    assert runs == [1]


def test_one_connection(serve: Serve, proxy: Proxy, ask: Ask) -> None:
    """Many calls share one connection: each waits for its turn, and is served."""
    service = serve(database_pool_size=1, threads=16)
    proxy.delay = 0.005
    names = [*READS, "CreateCustomer", "UploadCustomers", "AddCustomerAddress"]
    calls = [partial(CALLS[name], service.client, service.customer) for name in names]
    outcomes = in_background([*calls, *calls])
    assert [it.exception(SECONDS) for it in outcomes] == [None] * len(outcomes)
    assert_clean(ask, 1)


def test_no_connection_left(serve: Serve, ask: Ask) -> None:
    """Calls that get no connection, since others keep them all, are UNAVAILABLE in time."""
    service = serve(database_timeout_seconds=TIME, database_pool_size=1)
    with locked_table(ask):
        [upload] = in_background([lambda: service.client.upload([builders.customer()])])
        wait_until(lambda: waiting(ask) == 1)
        for name in (*READS, "CreateCustomer", "UpdateCustomer", "UploadCustomers"):
            call = partial(CALLS[name], service.client, service.customer)
            assert_unavailable(call, TIME + SLACK)
        assert service.is_healthy()
    assert upload.exception(SECONDS) is None
    assert_whole(service, ask, 1)
