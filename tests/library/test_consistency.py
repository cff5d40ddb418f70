"""Clients send what they must see: the tokens of their own calls, of both kinds of client."""

from collections.abc import Iterator

import pytest
from twc.customer.v2 import customer_service_pb2 as pb

from tests.library.kinds import MakeClient
from tests.support.client import SECONDS
from tests.support.in_process import InProcessServer
from tests.support.server_process import wait_until
from tests.support.standby import Pair, pair
from twc_customer_client import Customer, CustomerClient
from twc_customer_client.consistency import ANY, LATEST, ConsistencyTokens
from twc_customer_client.errors import AlreadyExists, NotFound
from twc_customer_server.api.consistency import HEADER

OLD, NEW = "Old", "New"


@pytest.fixture(scope="module")
def servers() -> Iterator[Pair]:
    """A primary, and a standby that no commit waits for."""
    with pair(is_synchronous=False) as servers:
        yield servers


@pytest.fixture(scope="module")
def server(servers: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessServer]:
    """A service whose reads may be of the standby."""
    url = servers.database()
    settings = {
        "database_url": url,
        "database_read_urls": [servers.replica(url)],
        "database_read_max_lag_seconds": 3600,
        # A quarter of it, for a read of the replica, is enough on a busy machine.
        "database_timeout_seconds": 2 * SECONDS,
    }
    with InProcessServer(data_dir=tmp_path_factory.mktemp("server"), **settings) as server:
        yield server


@pytest.fixture
def stale(
    connect: MakeClient, server: InProcessServer, servers: Pair, tenant: str
) -> Iterator[Customer]:
    """A customer of whom the replica has an older version."""
    writer = connect(server.address)
    # It keeps no token, which would be one of the primary until the replica is used.
    reader = server.client(tenant).given(**{HEADER: ANY})
    stored = writer.create(Customer(email="ada@example.com", last_name=OLD))
    servers.await_replay()
    with servers.paused_replay():
        writer.update_fields(stored.id, last_name=NEW)
        # Until the replica is used.
        wait_until(lambda: reader.get(stored.id).last_name == OLD)
        yield stored


def last_name(customers: CustomerClient, customer: Customer) -> str:
    """The last name that a client reads."""
    return customers.get(customer.id).last_name


def test_default(connect: MakeClient, server: InProcessServer, stale: Customer) -> None:
    """A client that does not say that reads may lag reads what is newest, and keeps no token."""
    customers = connect(server.address)
    assert last_name(customers, stale) == NEW
    assert customers.consistency_token is None


@pytest.mark.parametrize(("first", "seen"), [(ANY, OLD), (LATEST, NEW)])
def test_first_read(
    connect: MakeClient, server: InProcessServer, stale: Customer, first: str, seen: str
) -> None:
    """The first read sees what the client asks for, and later ones no less."""
    customers = connect(server.address, consistency=first)
    assert last_name(customers, stale) == seen
    assert last_name(customers, stale) == seen
    assert customers.consistency_token not in {None, ANY, LATEST}


def test_own_write(connect: MakeClient, server: InProcessServer, stale: Customer) -> None:
    """A client sees its own writes, and one that is given its token does."""
    customers = connect(server.address, consistency=ANY)
    customers.update_fields(stale.id, last_name="Own")
    assert last_name(customers, stale) == "Own"
    other = connect(server.address, consistency=customers.consistency_token)
    assert last_name(other, stale) == "Own"


def test_read_after_streams(connect: MakeClient, server: InProcessServer, stale: Customer) -> None:
    """What a client has imported, exported or followed it sees."""
    customers = connect(server.address, consistency=ANY)
    assert {it.last_name for it in customers.export()} == {NEW}
    assert last_name(customers, stale) == NEW

    customers = connect(server.address, consistency=ANY)
    results = customers.import_customers(
        [Customer(email=stale.email, last_name="Import")],
        on_conflict=pb.ImportCustomersRequest.UPDATE,
    )
    assert len(list(results)) == 1
    assert last_name(customers, stale) == "Import"

    customers = connect(server.address, consistency=ANY)
    followed = customers.follow()
    assert next(iter(followed)).customer.last_name == "Import"
    followed.close()
    assert last_name(customers, stale) == "Import"


def test_failed_calls(connect: MakeClient, server: InProcessServer, stale: Customer) -> None:
    """After a write that failed the next read is of what is newest; a read that fails is none."""
    customers = connect(server.address, consistency=ANY)
    assert last_name(customers, stale) == OLD
    with pytest.raises(NotFound):
        customers.get_by_ref("none")
    assert last_name(customers, stale) == OLD
    with pytest.raises(AlreadyExists):
        customers.create(Customer(email=stale.email))
    assert customers.consistency_token == LATEST
    assert last_name(customers, stale) == NEW


def test_without_replicas(connect: MakeClient, tmp_path: str) -> None:
    """A service without replicas ignores what a client sends."""
    with InProcessServer(data_dir=tmp_path) as server:
        customers = connect(server.address, consistency="what was once a token")
        stored = customers.create(Customer(email="ada@example.com"))
        assert customers.get(stored.id) == stored
        assert customers.consistency_token == LATEST


def test_overlapping_calls() -> None:
    """Calls that overlap leave the tokens of each, since neither is known to be the newest."""
    tokens = ConsistencyTokens(LATEST)
    one, other = tokens.current(), tokens.current()
    tokens.answered(one, "a")
    assert tokens.value == "a"
    tokens.answered(other, "b")
    assert tokens.value == "a, b"
    both = tokens.current()
    tokens.answered(both, "c")
    assert tokens.value == "c"


def test_doubt() -> None:
    """A call that began before a write failed does not end the doubt about it."""
    tokens = ConsistencyTokens(ANY)
    tokens.doubt()
    before = tokens.current()
    tokens.doubt()
    tokens.answered(before, "a")
    assert tokens.value == LATEST
    tokens.answered(tokens.current(), "b")
    assert tokens.value == "b"


def test_many_overlapping_calls() -> None:
    """More tokens than a header has room for are as what is newest."""
    tokens = ConsistencyTokens(ANY)
    nothing: dict[int, str] = {}
    for number in range(9):
        tokens.answered(nothing, str(number))
    assert tokens.value == LATEST
