"""An import that is broken off goes on where it was: nobody is lost, nobody comes twice."""

import csv
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from twc.customer.v2 import customer_service_pb2 as pb

from tests.client.command_line import SECONDS, CommandLine, emails, finish
from tests.client.fakes import answer, serving
from tests.support.server_process import ServerProcess

MANY = 20_000
BAD_EVERY = 100


def many(cli: CommandLine, name: str) -> Path:
    """A file of many customers, some of them bad."""
    rows: list[Any] = emails(*range(MANY))
    for place in range(0, MANY, BAD_EVERY):
        rows[place]["email"] = f"bad {place}"
    if name.endswith(".csv"):
        return cli.write(name, "email", *[row["email"] for row in rows])
    if name.endswith(".json"):
        return cli.write(name, "[", *[json.dumps(row) + "," for row in rows[:-1]], rows[-1], "]")
    return cli.write(name, *rows)


def wait_for(condition: Callable[[], object]) -> None:
    """Waits until something is so."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def state_of(path: Path) -> dict[str, Any]:
    """The state of an import, empty if it is not there."""
    try:
        state: dict[str, Any] = json.loads(Path(f"{path}.import-state.json").read_text())
    except FileNotFoundError:
        return {}
    return state


class Slow:
    """A service that takes a while for each batch, and after some of them waits to be let go."""

    def __init__(self, batches: int) -> None:
        self._batches = batches
        self.go_on = threading.Event()
        self.seen: list[int] = []

    def imports(
        self, requests: Iterator[pb.ImportCustomersRequest], _context: grpc.ServicerContext
    ) -> Iterator[pb.ImportCustomersResponse]:
        """Answers batch by batch."""
        for number, request in enumerate(requests):
            if not self.go_on.is_set():
                time.sleep(0.4)
                if number >= self._batches:
                    self.go_on.wait()
            self.seen += [item.sequence for item in request.items]
            yield answer(request)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_client_ends(tmp_path: Path, number: signal.Signals) -> None:
    """A client that is killed or stopped midway goes on after what was answered."""
    slow = Slow(batches=4)
    with serving(imports=slow.imports) as address:
        cli = CommandLine(address, "acme", tmp_path)
        path = many(cli, "x.jsonl")
        process = cli.start("import", path, "--json")
        wait_for(lambda: state_of(path).get("done"))
        process.send_signal(number)
        ended = finish(process)
        done = state_of(path)["done"]
        slow.go_on.set()
        before = len(slow.seen)
        again = finish(cli.start("import", path, "--json"))

    assert ended.status == (-signal.SIGKILL if number == signal.SIGKILL else 130)
    if number != signal.SIGKILL:
        assert "run the same command again to go on" in ended.err
        assert ended.object["last_record"] == done
    assert again.status == 3
    assert min(slow.seen[before:]) > done
    counts = again.object
    assert {*slow.seen} == {*range(1, MANY + 1)}
    assert counts["created"] == MANY - MANY // BAD_EVERY
    assert counts["rejected"] == MANY // BAD_EVERY
    assert_complete(path, path.with_name("x.rejects.jsonl"))


@pytest.mark.parametrize("name", ["x.csv", "x.json", "x.jsonl"])
def test_server_is_killed(tmp_path: Path, tenant: str, name: str) -> None:
    """A server that is killed and started anew ends up with every customer once."""
    server = ServerProcess({"data_dir": tmp_path})
    server.wait_ready()
    cli = CommandLine(server.address, tenant, tmp_path)
    path = many(cli, name)
    process = cli.start("import", path, "--json")
    try:
        wait_for(cli.exports)
        server.stop(signal.SIGKILL)
        assert process.poll() is None
        server = ServerProcess({"data_dir": tmp_path}, server.address)
        done = finish(process)
        stored = [line["email"] for line in cli.exports()]
    finally:
        server.end()
    good = {f"customer-{number}@example.com" for number in range(MANY) if number % BAD_EVERY}

    assert done.status == 3, done
    assert len(stored) == len(good)
    assert {*stored} == good
    assert done.object["created"] + done.object["unchanged"] == len(good)
    assert done.object["rejected"] == MANY // BAD_EVERY
    assert_complete(path, Path(done.object["rejects_file"]))


def assert_complete(path: Path, rejects: Path) -> None:
    """Checks that every bad row is rejected once, in order, and that no state is left."""
    with rejects.open(newline="") as file:
        rows = csv.DictReader(file) if rejects.suffix == ".csv" else map(json.loads, file)
        emails = [row["email"] for row in rows]
    assert emails == [f"bad {place}" for place in range(0, MANY, BAD_EVERY)]
    assert state_of(path) == {}
    assert not list(path.parent.glob("*.new"))


@pytest.fixture
def broken_off(tmp_path: Path) -> Iterator[tuple[CommandLine, Path]]:
    """An import that was broken off, with the service that it goes on with."""
    slow = Slow(batches=3)
    with serving(imports=slow.imports) as address:
        cli = CommandLine(address, "acme", tmp_path)
        path = many(cli, "x.jsonl")
        process = cli.start("import", path)
        wait_for(lambda: state_of(path).get("done"))
        process.kill()
        finish(process)
        slow.go_on.set()
        yield cli, path


def test_another_import(broken_off: tuple[CommandLine, Path]) -> None:
    """Another import than the one that was broken off does not go on in its place."""
    cli, path = broken_off
    done = state_of(path)["done"]
    differing = {
        "ignore_unknown": cli.run("import", path, "--ignore-unknown"),
        "tenant": cli.run("--tenant", "globex", "import", path),
        "rejects": cli.run("import", path, "--rejects", path.with_name("other.jsonl")),
    }
    os.utime(path, (1, 1))
    differing["modified"] = cli.run("import", path)

    for name, ended in differing.items():
        assert ended.status == 1
        assert f"differs in: {name}; repeat it as it was to go on, or use --restart" in ended.err
    assert state_of(path)["done"] == done


def test_restart(broken_off: tuple[CommandLine, Path]) -> None:
    """An import that is begun anew has all its rejects, once."""
    cli, path = broken_off
    os.utime(path, (1, 1))
    done = cli.run("import", path, "--restart", "--json")
    assert done.status == 3
    assert done.object["created"] == MANY - MANY // BAD_EVERY
    assert_complete(path, path.with_name("x.rejects.jsonl"))


def test_unreadable_state(broken_off: tuple[CommandLine, Path]) -> None:
    """A state that cannot be read is not gone on with."""
    cli, path = broken_off
    Path(f"{path}.import-state.json").write_text("{}")
    done = cli.run("import", path)
    assert done.status == 1
    assert "cannot be read; --restart begins anew" in done.err


def test_corrected_midway(cli: CommandLine) -> None:
    """A file that could not be read to its end is corrected and begun anew."""
    good, bad = [json.dumps(row) + "," for row in emails(1, 2)]
    path = cli.write("x.json", "[", good, '{"email":"?"},', "{,", bad)
    first = cli.run("import", path)
    assert first.status == 1
    assert "correct the file and run the same command with --restart" in first.err
    cli.write("x.json", "[", good, '{"email":"?"},', bad.rstrip(","), "]")
    done = cli.run("import", path, "--restart", "--json")

    assert done.status == 3
    assert (done.object["created"], done.object["unchanged"]) == (1, 1)
    assert len((cli.folder / "x.rejects.jsonl").read_text().splitlines()) == 1
