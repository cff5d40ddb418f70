"""An interrupted import resumes: no customer is lost, and none is stored twice."""

import csv
import errno
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.client.command_line import SECONDS, WITHOUT_COVERAGE, CommandLine, emails, finish
from tests.client.tcp_gate import TcpGate
from tests.support.fake_services import Requests, Responses, accept, serving
from tests.support.server_process import ServerProcess

CUSTOMERS = 6_000
BAD_EVERY = 100


def write_customers(cli: CommandLine, name: str) -> Path:
    """Writes a file of many customers, some of them invalid."""
    rows: list[Any] = emails(*range(CUSTOMERS))
    for place in range(0, CUSTOMERS, BAD_EVERY):
        rows[place]["email"] = f"bad {place}"
    if name.endswith(".csv"):
        return cli.write(name, "email", *[row["email"] for row in rows])
    if name.endswith(".json"):
        return cli.write(name, "[", *[json.dumps(row) + "," for row in rows[:-1]], rows[-1], "]")
    return cli.write(name, *rows)


def wait_until(condition: Callable[[], object]) -> None:
    """Waits until a condition holds."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def read_state(path: Path) -> dict[str, Any]:
    """Returns the checkpoint of a file's import, empty if there is none."""
    try:
        state: dict[str, Any] = json.loads(Path(f"{path}.import-state.json").read_text())
    except FileNotFoundError:
        return {}
    return state


class PausingService:
    """Accepts imports, but pauses once a checkpoint is saved, until it is released."""

    def __init__(self, path: Path) -> None:
        """Watches the checkpoint of the import of a file."""
        self.released = threading.Event()
        self.seen: list[int] = []
        self._path = path

    def imports(self, requests: Requests, _context: grpc.ServicerContext) -> Responses:
        """Answers each batch."""
        for request in requests:
            # The client saves a checkpoint with the first response after a
            # second: as long as there is none, there must be a next response.
            is_saved = bool(read_state(self._path).get("done"))
            self.released.wait(None if is_saved else 0.2)
            self.seen += [item.sequence for item in request.items]
            yield accept(request)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_stopped_client(
    make_cli: Callable[[str, str], CommandLine], tmp_path: Path, number: signal.Signals
) -> None:
    """An import that is killed or stopped resumes after the customers with an outcome."""
    path = tmp_path / "x.jsonl"
    service = PausingService(path)
    with serving(ImportCustomers=service.imports) as address:
        cli = make_cli(address, "acme")
        cli.environment |= WITHOUT_COVERAGE
        write_customers(cli, path.name)
        command = ("import", path, "--json", "--results", "results.csv")
        process = cli.start(*command)
        wait_until(lambda: read_state(path).get("done"))
        process.send_signal(number)
        stopped = finish(process)
        done = read_state(path)["done"]
        seen_before = len(service.seen)
        service.released.set()
        resumed = finish(cli.start(*command))
    rows = list(csv.DictReader((tmp_path / "results.csv").read_text().splitlines()))

    assert stopped.status == (-signal.SIGKILL if number == signal.SIGKILL else 130)
    if number != signal.SIGKILL:
        assert "run the same command again to resume" in stopped.err
        assert stopped.json["last_record"] == done
    assert resumed.status == 3
    assert min(service.seen[seen_before:]) > done
    assert {*service.seen} == {*range(1, CUSTOMERS + 1)}
    assert resumed.json["created"] == CUSTOMERS - CUSTOMERS // BAD_EVERY
    assert resumed.json["rejected"] == CUSTOMERS // BAD_EVERY
    assert [row["line"] for row in rows] == [str(number) for number in range(1, CUSTOMERS + 1)]
    assert_complete(path, path.with_name("x.rejects.jsonl"))


@pytest.mark.parametrize("name", ["x.csv", "x.json", "x.jsonl"])
def test_killed_server(
    make_cli: Callable[[str, str], CommandLine], tmp_path: Path, tenant: str, name: str
) -> None:
    """An import stores every customer once, even if the server is killed and restarted."""
    with ExitStack() as stack:
        server = ServerProcess({"data_dir": tmp_path})
        stack.callback(server.end)
        server.wait_ready()
        # Room for some of the batches: the import cannot end before the server does.
        gate = TcpGate(server.address, 100_000)
        stack.callback(gate.close)
        cli = make_cli(server.address, tenant)
        path = write_customers(cli, name)
        process = make_cli(gate.address, tenant).start("import", path, "--json")
        wait_until(cli.export)
        server.stop(signal.SIGKILL)
        assert process.poll() is None
        restarted = ServerProcess({"data_dir": tmp_path}, server.address)
        stack.callback(restarted.end)
        gate.open()
        result = finish(process)
        stored = [line["email"] for line in cli.export()]
    good = {f"customer-{number}@example.com" for number in range(CUSTOMERS) if number % BAD_EVERY}

    assert result.status == 3, result
    assert len(stored) == len(good)
    assert {*stored} == good
    assert result.json["created"] + result.json["unchanged"] == len(good)
    assert result.json["rejected"] == CUSTOMERS // BAD_EVERY
    assert_complete(path, Path(result.json["rejects_file"]))


def assert_complete(path: Path, rejects: Path) -> None:
    """Asserts that every invalid row is rejected once, in order, and that no state is left."""
    with rejects.open(newline="") as file:
        rows = csv.DictReader(file) if rejects.suffix == ".csv" else map(json.loads, file)
        rejected = [row["email"] for row in rows]
    assert rejected == [f"bad {place}" for place in range(0, CUSTOMERS, BAD_EVERY)]
    assert read_state(path) == {}
    assert not list(path.parent.glob("*.new"))


@contextmanager
def paused_import(
    make_cli: Callable[[str, str], CommandLine], path: Path
) -> Iterator[tuple[PausingService, CommandLine, subprocess.Popen[str]]]:
    """An import of a file that has got a part of the way, with its service and command line."""
    service = PausingService(path)
    with serving(ImportCustomers=service.imports) as address:
        cli = make_cli(address, "acme")
        write_customers(cli, path.name)
        process = cli.start("import", path)
        wait_until(lambda: read_state(path).get("done"))
        yield service, cli, process


@pytest.fixture
def interrupted(
    make_cli: Callable[[str, str], CommandLine], tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[tuple[CommandLine, Path]]:
    """An interrupted import, and the service that it can be resumed with."""
    path = tmp_path / getattr(request, "param", "x.jsonl")
    with paused_import(make_cli, path) as (service, cli, process):
        process.kill()
        finish(process)
        service.released.set()
        yield cli, path


def test_another_import(interrupted: tuple[CommandLine, Path]) -> None:
    """An import with other options, or of a changed file, does not resume."""
    cli, path = interrupted
    done = read_state(path)["done"]
    differing = {
        "ignore_unknown": cli.run("import", path, "--ignore-unknown"),
        "tenant": cli.run("--tenant", "globex", "import", path),
        "on_conflict": cli.run("import", path, "--on-conflict", "update"),
        "rejects": cli.run("import", path, "--rejects", path.with_name("other.jsonl")),
    }
    os.utime(path, (1, 1))
    differing["modified"] = cli.run("import", path)

    for name, result in differing.items():
        assert result.status == 1
        assert f"differs in {name}: repeat its command to resume it, or use" in result.err
    assert read_state(path)["done"] == done


def test_restart(interrupted: tuple[CommandLine, Path]) -> None:
    """An import that is started over has all its rejects, once."""
    cli, path = interrupted
    os.utime(path, (1, 1))
    result = cli.run("import", path, "--restart", "--json")
    assert result.status == 3
    assert result.json["created"] == CUSTOMERS - CUSTOMERS // BAD_EVERY
    assert_complete(path, path.with_name("x.rejects.jsonl"))


each_format = pytest.mark.parametrize("interrupted", ["x.jsonl", "x.csv"], indirect=True)


@each_format
def test_rejects_moved_away(interrupted: tuple[CommandLine, Path]) -> None:
    """Rejects that are moved away meanwhile stay as they are; the others get a new file."""
    cli, path = interrupted
    rejects, moved = (path.with_name(f"{it}{path.suffix}") for it in ("x.rejects", "moved"))
    rejects.rename(moved)
    result = cli.run("import", path, "--json")
    assert result.status == 3
    first, rest = moved.read_text().splitlines(), rejects.read_text().splitlines()
    if path.suffix == ".csv":
        assert rest.pop(0) == first[0]
    # What the first run wrote after its checkpoint is rejected once more.
    every = {f"bad {place}" for place in range(0, CUSTOMERS, BAD_EVERY)}
    assert {bad for bad in every if any(bad in line for line in (*first, *rest))} == every
    assert all("bad " in line for line in rest)


@each_format
@pytest.mark.parametrize("corrected", ["", "longer than it was, by far: "], ids=["less", "more"])
def test_rejects_corrected(interrupted: tuple[CommandLine, Path], corrected: str) -> None:
    """Rejects that are corrected meanwhile are not written over; an error says what to do."""
    cli, path = interrupted
    rejects = path.with_name(f"x.rejects{path.suffix}")
    done, lines = read_state(path)["done"], rejects.read_text().splitlines()
    rejects.write_text("\n".join([corrected * 99 + lines[0][1:], *lines[1:]]))
    before = rejects.read_bytes()
    result = cli.run("import", path)
    assert result.status == 1
    assert "was changed since the import was interrupted: move it away" in result.err
    assert (rejects.read_bytes(), read_state(path)["done"]) == (before, done)


def test_unreadable_state(interrupted: tuple[CommandLine, Path]) -> None:
    """An import does not resume from a state file that cannot be read."""
    cli, path = interrupted
    Path(f"{path}.import-state.json").write_text("{}")
    result = cli.run("import", path)
    assert result.status == 1
    assert "cannot be read: use --restart to start over" in result.err


def test_corrected_file(cli: CommandLine) -> None:
    """A file that could not be read to its end is corrected and imported from its beginning."""
    good, bad = [json.dumps(row) + "," for row in emails(1, 2)]
    path = cli.write("x.json", "[", good, '{"email":"?"},', "{,", bad)
    first = cli.run("import", path)
    assert first.status == 1
    assert "correct the file and run the same command with --restart" in first.err
    cli.write("x.json", "[", good, '{"email":"?"},', bad.rstrip(","), "]")
    second = cli.run("import", path, "--restart", "--json")

    assert second.status == 3
    assert (second.json["created"], second.json["unchanged"]) == (1, 1)
    assert len((cli.folder / "x.rejects.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize("options", [[], ["--restart"]], ids=["same", "restart"])
def test_two_at_once(
    make_cli: Callable[[str, str], CommandLine], tmp_path: Path, options: list[str]
) -> None:
    """A second import of a file is refused while the first one runs, which keeps its rejects."""
    path = tmp_path / "x.jsonl"
    with paused_import(make_cli, path) as (service, cli, first):
        second = cli.run("import", path, *options)
        service.released.set()
        result = finish(first)

    assert second.status == 1
    assert f"{path} is being imported by another process\nNext: wait until" in second.err
    assert result.status == 3, result
    assert_complete(path, path.with_name("x.rejects.jsonl"))


def test_one_rejects_file(make_cli: Callable[[str, str], CommandLine], tmp_path: Path) -> None:
    """An import is refused if its rejects file is that of another one that runs."""
    path, rejects = tmp_path / "x.jsonl", tmp_path / "rejects.jsonl"
    service = PausingService(path)
    with serving(ImportCustomers=service.imports) as address:
        cli = make_cli(address, "acme")
        cli.write(path.name, *emails(*range(CUSTOMERS)))
        first = cli.start("import", path, "--rejects", rejects)
        wait_until(lambda: read_state(path).get("done"))
        command = ("import", cli.write("y.jsonl", {"email": "bad"}), "--rejects", rejects)
        second = cli.run(*command)
        service.released.set()
        result = finish(first)
        third = cli.run(*command)

    assert second.status == 1
    assert f"{rejects} is being written by another process\nNext: " in second.err
    assert result.status == 0, result
    assert third.status == 3
    assert len(rejects.read_text().splitlines()) == 1


def test_disk_without_locks(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file on a disk that knows no locks is imported."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr("twc_customer_client.files.flock", refuse)
    assert cli.import_file(cli.write("x.jsonl", *emails(1)))["created"] == 1


@pytest.mark.parametrize("results", ["nowhere/results.csv", "/dev/full"])
def test_unwritable_results(cli: CommandLine, results: str) -> None:
    """An import whose results cannot be written is repeated from its beginning."""
    path = cli.write("x.jsonl", {"email": "?"}, *emails(1))
    first = cli.run("import", path, "--results", cli.folder / results)
    assert first.status == 1
    assert f"{cli.folder / results} cannot be written: No s" in first.err
    assert {each.name for each in cli.folder.iterdir()} == {path.name}

    second = cli.run("import", path, "--results", cli.folder / "results.csv", "--json")
    assert (second.status, second.json["rejected"]) == (3, 1)
    assert second.json["created"] + second.json["unchanged"] == 1
    assert len((cli.folder / "x.rejects.jsonl").read_text().splitlines()) == 1
    assert len((cli.folder / "results.csv").read_text().splitlines()) == 3


def test_refused_restart(interrupted: tuple[CommandLine, Path]) -> None:
    """An import can still be resumed after it was refused to start over."""
    cli, path = interrupted
    done, other = read_state(path)["done"], cli.write("other.jsonl", "of somebody else")
    refused = cli.run("import", path, "--restart", "--rejects", other)
    assert refused.status == 1
    assert "other.jsonl has the rejects of an earlier import" in refused.err
    assert read_state(path)["done"] == done

    assert cli.run("import", path).status == 3
    assert_complete(path, path.with_name("x.rejects.jsonl"))
    assert other.read_text() == "of somebody else\n"


def test_full_disk(cli: CommandLine) -> None:
    """An import whose rejects do not fit on the disk says so, with what to do."""
    path = cli.write("x.jsonl", *emails(1), {"email": "?"})
    result = cli.run("import", path, "--rejects", "/dev/full")
    assert result.status == 1
    assert "/dev/full cannot be written: No space left on device\nNext: see to" in result.err
