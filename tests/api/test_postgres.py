"""What a server does when its PostgreSQL cannot be reached, or has no room."""

from pathlib import Path
from typing import Any

import psycopg
import pytest
from twc.customer.v2 import customer_service_pb2 as pb

from tests.support.backends import only
from tests.support.builders import customer
from tests.support.client import failure
from tests.support.server_process import Start, run

# The error of a disk without room, wherever a new row would need some.
FILL = """
    CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'no room: %', NEW.email_key USING ERRCODE = 'disk_full'; END $$;
    CREATE TRIGGER full_disk BEFORE INSERT ON customer FOR EACH ROW EXECUTE FUNCTION fail()
"""
MAKE_ROOM = "DROP TRIGGER full_disk ON customer"


@only("postgresql")
def test_full_disk(start: Start, own_database: dict[str, Any]) -> None:
    """While PostgreSQL has no room creates are UNAVAILABLE; reads go on, and no log has values."""
    server = start()
    client = server.client("acme")
    created = client.create(customer())
    late = customer(email="late@example.com")
    with psycopg.connect(own_database["database_url"], autocommit=True) as operator:
        operator.execute(FILL)
        refused = [
            failure(lambda: client.create(late)),
            failure(lambda: client.upload([late])),
        ]
        kept = client.get(created.id)
        operator.execute(MAKE_ROOM)
    assert [it.reason for it in refused] == ["SERVICE_UNAVAILABLE"] * 2
    assert late.email not in f"{refused} {server.log()}"
    assert kept == created
    assert client.create(late).email == late.email
    assert len(client.lookup(pb.LookupCustomersRequest(email=late.email))) == 1


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://ada:secret@127.0.0.1:1/customers", "cannot be reached: connection failed"),
        ("postgresql://ada:secret%@127.0.0.1/customers", "DATABASE_URL cannot be parsed"),
        ("mysql://ada:secret@127.0.0.1/customers", "DATABASE_URL: must be like postgresql://"),
    ],
    ids=["away", "broken", "another"],
)
def test_unusable_database(tmp_path: Path, url: str, said: str) -> None:
    """A server that cannot come to its database says so, but no password, and ends."""
    database = {"data_dir": tmp_path, "database_wait_seconds": 0}
    ended = run(database, "127.0.0.1:0", DATABASE_URL=url)
    assert ended.returncode == 1
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "secret" not in ended.stdout + ended.stderr
