"""What a server says of its database's failures: that there are such, and nothing of the inside."""

import json
from functools import partial
from typing import Any

from psycopg.conninfo import conninfo_to_dict

from tests.reliability.calls import AWAY, READ_FIRST, UNKNOWN, fails
from tests.reliability.proxy import Proxy
from tests.support import builders
from tests.support.client import failure
from tests.support.server_process import ServerProcess, Start, wait_until

PASSWORD = "do-not-tell"  # noqa: S105 - nobody's

EVENTS = {
    "the database was lost while it committed a write: its outcome is not known",
    "the database failed to serve a call: AdminShutdown",
    "the database failed to serve a call: PoolTimeout",
    "the database can be reached again",
    "the database cannot be reached",
}


def records(server: ServerProcess) -> list[dict[str, Any]]:
    """What a server has logged, but for the line of its start that names the database."""
    said = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
    first = [it for it in said if it["logger"] == "twc_customer_server.settings.checks"]
    assert first
    assert PASSWORD not in json.dumps(first)
    return [it for it in said if it not in first]


def test_failures(start: Start, proxy: Proxy) -> None:
    """Neither an error nor the log, whatever its level, has words of the driver, or says where."""
    server = start(DATABASE_URL=proxy.url(password=PASSWORD), LOG_LEVEL="DEBUG")
    client = server.client("acme")
    customer = client.create(builders.customer())
    add = partial(client.add_address, customer.id, builders.address())
    get = partial(client.get, customer.id)

    proxy.cut_after("^COMMIT")
    assert failure(add).message == UNKNOWN + READ_FIRST
    proxy.fail("^UPDATE", "57P01", times=6)
    assert failure(add).message == AWAY
    with proxy.away():
        assert [failure(get).message for _ in range(5)] == [AWAY] * 5
    wait_until(lambda: not fails(get))

    said = records(server)
    assert {
        it["event"] for it in said if it["logger"].startswith("twc_customer_server.storage")
    } == EVENTS
    place = conninfo_to_dict(proxy.url())
    inside = [PASSWORD, str(place["port"]), str(place["dbname"]), "127.0.0.1", "UPDATE", "psycopg"]
    assert [word for word in inside if word in json.dumps(said)] == []


def test_ordinary_calls(start: Start) -> None:
    """A call that is served has one record, and none of the pool's."""
    server = start(LOG_LEVEL="DEBUG")
    client = server.client("acme")
    created = client.create(builders.customer())
    for _ in range(10):
        client.get(created.id)
    wait_until(lambda: server.log().count('"event": "call"') == 11)
    said = [
        it for it in records(server) if it["logger"].startswith(("twc_customer_server", "psycopg"))
    ]
    assert [it["event"] for it in said] == ["call"] * 11
