"""Exports are whole, or are not there."""

import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from tests.client.command_line import CommandLine, emails, finish
from tests.client.fakes import serving
from tests.support.client import Client


@pytest.fixture
def client(address: str, tenant: str) -> Iterator[Client]:
    """A client of the service for the test's tenant."""
    with grpc.insecure_channel(address) as channel:
        yield Client(channel, tenant)


def test_since(cli: CommandLine, client: Client) -> None:
    """The next export has what changed since the one before, and who was deleted."""
    cli.imports(cli.write("x.jsonl", *emails(1, 2)))
    whole = cli.folder / "all.jsonl"
    before = cli.run("export", whole, "--json").object
    [first, _] = cli.stored()
    client.delete(first.id)
    [kept, gone] = cli.exports("--since", before["as_of"], "--include-deleted")
    none = cli.run("export", cli.folder / "none.csv", "--since", "2999-01-01T00:00:00Z")

    assert (before["exported"], before["deleted"]) == (2, 0)
    assert before["file"] == str(whole)
    assert len(whole.read_text().splitlines()) == 2
    assert kept["email"] == "customer-2@example.com"
    assert gone == {"id": first.id, "deleted": gone["deleted"]}
    assert none.out.startswith("0 customers; next: --since ")
    assert (cli.folder / "none.csv").read_text().startswith("id,customerRef,email")


def test_as_rest_prints(cli: CommandLine) -> None:
    """A line of an export is what the REST routes print of a customer."""
    cli.imports(cli.write("x.jsonl", {"email": "ö@example.com", "customer_state": "invited"}))
    done = finish(cli.start("export", "--json"))
    line = json.loads(done.out)

    assert line["customer_state"] == "invited"
    assert line["addresses"] == []
    assert line["attributeGroups"] == {}
    assert "ö@" in done.out
    assert json.loads(done.err)["exported"] == 1


def test_replaces(cli: CommandLine) -> None:
    """An export replaces an earlier one, is for its user alone, and leaves no other file."""
    cli.imports(cli.write("x.jsonl", *emails(1)))
    folder = cli.folder / "exports"
    folder.mkdir()
    (folder / "x.csv").write_text("old")
    done = finish(cli.start("export", folder / "x.csv"))

    assert done.status == 0
    assert [each.name for each in folder.iterdir()] == ["x.csv"]
    assert "old" not in (folder / "x.csv").read_text()
    assert (folder / "x.csv").stat().st_mode & 0o077 == 0


def test_cannot_be_written(cli: CommandLine) -> None:
    """An export to where nothing can be written fails in a sentence."""
    done = cli.run("export", cli.folder / "nowhere" / "x.csv")
    assert done.status == 1
    assert "cannot be written: No such file" in done.err


class _Breaking:
    """Exports two parts, with a break after the first, and another one after them if told."""

    def __init__(self, *, for_good: bool = False) -> None:
        self.tokens: list[str] = []
        self._for_good = for_good

    def exports(
        self, request: pb.ExportCustomersRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ExportCustomersResponse]:
        """Exports what comes after the token."""
        self.tokens.append(request.resume_token)
        place = int(request.resume_token or 0)
        customer = Customer(email=f"{place}@example.com")
        yield pb.ExportCustomersResponse(customers=[customer], resume_token=str(place + 1))
        if not place:
            context.abort(grpc.StatusCode.UNAVAILABLE, "later")
        if self._for_good:
            context.abort(grpc.StatusCode.DATA_LOSS, "all is lost")


def test_goes_on(tmp_path: Path) -> None:
    """An export that breaks off goes on after what came."""
    breaking = _Breaking()
    with serving(exports=breaking.exports) as address:
        exported = CommandLine(address, "acme", tmp_path).exports()

    assert [line["email"] for line in exported] == ["0@example.com", "1@example.com"]
    assert breaking.tokens == ["", "1"]


def test_broken(tmp_path: Path) -> None:
    """An export that fails leaves what was there before."""
    (tmp_path / "x.jsonl").write_text("old")
    with serving(exports=_Breaking(for_good=True).exports) as address:
        done = CommandLine(address, "acme", tmp_path).run("export", tmp_path / "x.jsonl")

    assert done.status == 1
    assert "all is lost" in done.err
    assert [each.name for each in tmp_path.iterdir()] == ["x.jsonl"]
    assert (tmp_path / "x.jsonl").read_text() == "old"
