"""A primary that becomes a standby, which refuses writes (25006): its connections are dropped."""

from functools import partial

import pytest

from tests.reliability.calls import (
    READS,
    WRITES,
    Serve,
    assert_unavailable,
    assert_whole,
    fails,
)
from tests.reliability.proxy import Proxy
from tests.reliability.sessions import Ask, alter, processes
from tests.support import builders
from tests.support.server_process import wait_until

# More connections than a call has tries.
POOL = 12


def demote(ask: Ask) -> None:
    """Has the sessions that begin from now on be those of a standby."""
    alter(ask, "SET default_transaction_read_only = on")


def promote(ask: Ask) -> None:
    """Has the sessions that begin from now on be those of a primary."""
    alter(ask, "RESET default_transaction_read_only")


@pytest.mark.parametrize("name", ["CreateCustomer", "UploadCustomers", "UpdateCustomer"])
def test_failover(serve: Serve, proxy: Proxy, ask: Ask, name: str) -> None:
    """A write is served although all connections of the pool lead to what is now a standby."""
    service = serve(database_pool_size=POOL, threads=POOL)
    demote(ask)
    proxy.cut()
    assert_whole(service, ask, POOL)
    promote(ask)
    old = processes(ask)
    WRITES[name](service.client, service.customer)
    assert len(old) == POOL
    assert_whole(service, ask, POOL)
    assert old & processes(ask) == set()


def test_no_primary(serve: Serve, proxy: Proxy, ask: Ask) -> None:
    """Without a primary writes are UNAVAILABLE after a few tries, and reads are served."""
    service = serve()
    demote(ask)
    proxy.cut()
    before = proxy.count("^INSERT")
    assert_unavailable(lambda: service.client.create(builders.customer()))
    assert 1 < proxy.count("^INSERT") - before < 10
    for name in ("UploadCustomers", "UpdateCustomer", "DeleteCustomer"):
        assert_unavailable(partial(WRITES[name], service.client, service.customer))
    for read in READS.values():
        read(service.client, service.customer)
    promote(ask)
    wait_until(lambda: not fails(lambda: service.client.create(builders.customer())))
    assert_whole(service, ask)
