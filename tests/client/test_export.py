"""Exports are complete, or leave no file."""

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from tests.client.command_line import SECONDS, CommandLine, cases, emails, finish
from tests.support.client import Client
from tests.support.fake_services import serving


@pytest.fixture
def client(address: str, tenant: str) -> Iterator[Client]:
    """A client of the server for the test's tenant."""
    with grpc.insecure_channel(address) as channel:
        yield Client(channel, tenant)


def test_export_since_previous(cli: CommandLine, client: Client) -> None:
    """The next export has the customers that changed since the previous one, and tombstones."""
    cli.import_file(cli.write("x.jsonl", *emails(1, 2)))
    whole = cli.folder / "all.jsonl"
    before = cli.run("export", whole, "--json").json
    [first, _] = cli.stored()
    client.delete(first.id)
    [tombstone] = cli.export("--since", before["next_cursor"], "--include-deleted")
    none = cli.run("export", cli.folder / "none.csv", "--since", "2999-01-01T00:00:00Z")

    assert (before["exported"], before["deleted"]) == (2, 0)
    assert before["file"] == str(whole)
    assert len(whole.read_text().splitlines()) == 2
    assert tombstone == {"id": first.id, "deleted": tombstone["deleted"]}
    assert none.out.startswith("0 customers; next: --since ")
    assert (cli.folder / "none.csv").read_text().startswith("id,customerRef,email")


def test_json_of_the_rest_api(cli: CommandLine) -> None:
    """A line of an export has the JSON that the REST API returns."""
    cli.import_file(cli.write("x.jsonl", {"email": "ö@example.com", "customer_state": "invited"}))
    result = finish(cli.start("export", "--json"))
    line = json.loads(result.out)

    assert line["customer_state"] == "invited"
    assert line["addresses"] == []
    assert line["attributeGroups"] == {}
    assert "ö@" in result.out
    assert json.loads(result.err)["exported"] == 1


def test_replaced_file(cli: CommandLine) -> None:
    """An export replaces an earlier one, and is readable by its user alone."""
    cli.import_file(cli.write("x.jsonl", *emails(1)))
    folder = cli.folder / "exports"
    folder.mkdir()
    (folder / "x.csv").write_text("old")
    result = finish(cli.start("export", folder / "x.csv"))

    assert result.status == 0
    assert [each.name for each in folder.iterdir()] == ["x.csv"]
    assert "old" not in (folder / "x.csv").read_text()
    assert (folder / "x.csv").stat().st_mode & 0o077 == 0


def test_missing_folder(cli: CommandLine) -> None:
    """An export to a folder that does not exist is an error."""
    result = cli.run("export", cli.folder / "nowhere" / "x.csv")
    assert result.status == 1
    assert "cannot be written: No such file" in result.err


class PausingService:
    """Exports two customers, the second of the first call only once it is released."""

    def __init__(self) -> None:
        self.paused = threading.Event()
        self.released = threading.Event()

    def exports(
        self, _request: pb.ExportCustomersRequest, _context: grpc.ServicerContext
    ) -> Iterator[pb.ExportCustomersResponse]:
        """Exports both."""
        yield pb.ExportCustomersResponse(customers=[Customer(email="1@example.com")])
        if not self.paused.is_set():
            self.paused.set()
            self.released.wait(SECONDS)
        yield pb.ExportCustomersResponse(customers=[Customer(email="2@example.com")])


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "ü" * 120 + ".jsonl"])
def test_two_at_once(
    make_cli: Callable[[str, str], CommandLine], tmp_path: Path, name: str
) -> None:
    """Of two exports to a file each writes a whole one, and no other file is touched."""
    path, other = tmp_path / name, tmp_path / f"{name}.part"
    other.write_text("of the user")
    service = PausingService()
    with serving(ExportCustomers=service.exports) as address:
        cli = make_cli(address, "acme")
        first = cli.start("export", path)
        assert service.paused.wait(SECONDS)
        second = cli.run("export", path)
        whole = path.read_text()
        service.released.set()
        result = finish(first)

    assert (second.status, result.status) == (0, 0), result
    assert all(email in whole for email in ("1@example.com", "2@example.com"))
    assert path.read_text() == whole
    assert {each.name for each in tmp_path.iterdir()} == {path.name, other.name}
    assert other.read_text() == "of the user"


class BreakingService:
    """Exports two responses and fails after the first, and after the second if `for_good`."""

    def __init__(self, *, for_good: bool = False) -> None:
        self.tokens: list[str] = []
        self._for_good = for_good

    def exports(
        self, request: pb.ExportCustomersRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ExportCustomersResponse]:
        """Exports the response after the token."""
        self.tokens.append(request.resume_token)
        place = int(request.resume_token or 0)
        customer = Customer(email=f"{place}@example.com")
        yield pb.ExportCustomersResponse(customers=[customer], resume_token=str(place + 1))
        if not place:
            context.abort(grpc.StatusCode.UNAVAILABLE, "later")
        if self._for_good:
            context.abort(grpc.StatusCode.DATA_LOSS, "all is lost")


def test_broken_connection(make_cli: Callable[[str, str], CommandLine]) -> None:
    """An export resumes when the connection breaks."""
    service = BreakingService()
    with serving(ExportCustomers=service.exports) as address:
        exported = make_cli(address, "acme").export()

    assert [line["email"] for line in exported] == ["0@example.com", "1@example.com"]
    assert service.tokens == ["", "1"]


def test_failed_export(make_cli: Callable[[str, str], CommandLine], tmp_path: Path) -> None:
    """An export that fails leaves the earlier file."""
    (tmp_path / "x.jsonl").write_text("old")
    with serving(ExportCustomers=BreakingService(for_good=True).exports) as address:
        result = make_cli(address, "acme").run("export", tmp_path / "x.jsonl")

    assert result.status == 1
    assert "all is lost" in result.err
    assert [each.name for each in tmp_path.iterdir()] == ["x.jsonl"]
    assert (tmp_path / "x.jsonl").read_text() == "old"


@cases(
    export=["export"],
    csv=["export", "--format", "csv"],
    changes=["changes"],
    get=["get", "--email", "customer-1@example.com"],
)
def test_full_disk(cli: CommandLine, case: list[str]) -> None:
    """A command whose output does not fit on the disk says so, with what to do."""
    cli.import_file(cli.write("x.jsonl", *emails(1)))
    with Path("/dev/full").open("w") as full:
        result = finish(cli.start(*case, stdout=full))

    assert result.status == 1
    error = "Error: standard output cannot be written: No space left on device\nNext: see to"
    assert result.err.startswith(error)
    assert len(result.err.splitlines()) == 2
