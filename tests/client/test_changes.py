"""Changes are printed as they come, and a later command goes on after them."""

import json
import os
import re
import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.client.command_line import WITHOUT_COVERAGE, CommandLine, Result, emails, finish
from tests.support.server_process import ServerProcess, wait_until
from twc_customer_client.cli import cli as commands

if TYPE_CHECKING:
    import subprocess


def create(cli: CommandLine, email: str) -> None:
    """Creates a customer."""
    assert cli.run("create", "--set", f"email={email}").status == 0


def seen(out: str) -> list[tuple[str, str]]:
    """The kinds of changes, and the e-mail addresses of their customers."""
    changes: list[dict[str, Any]] = [json.loads(line) for line in out.splitlines()]
    return [(it["kind"], it["customer"]["email"] if "customer" in it else "") for it in changes]


def follow(cli: CommandLine, *options: object) -> "subprocess.Popen[str]":
    """Starts to follow changes."""
    cli.environment |= WITHOUT_COVERAGE
    return cli.start("changes", "--follow", *options)


def read_lines(process: "subprocess.Popen[str]", count: int) -> str:
    """Reads as many lines as soon as they are printed."""
    assert process.stdout
    return "".join(process.stdout.readline() for _ in range(count))


def interrupt(process: "subprocess.Popen[str]", number: signal.Signals = signal.SIGINT) -> Result:
    """Ends a command by a signal."""
    process.send_signal(number)
    return finish(process)


def cursor_of(summary: str) -> str:
    """The cursor to go on with, of a summary."""
    return summary.split("next: --cursor ")[1].split("\n", maxsplit=1)[0]


def test_changes(cli: CommandLine) -> None:
    """The changes up to now are printed with the customers as they are now, then the cursor."""
    create(cli, "ada@example.com")
    create(cli, "eve@example.com")
    assert cli.run("delete", "--email", "eve@example.com").status == 0
    [ada] = cli.export()

    result = cli.run("changes")

    assert result.status == 0
    created, deleted = map(json.loads, result.out.splitlines())
    assert created == {"kind": "CREATED", "customer": ada}
    assert deleted["kind"] == "DELETED"
    assert deleted["tombstone"].keys() == {"id", "deleteTime"}
    assert result.err.startswith("2 changes; next: --cursor ")


def test_cursor(cli: CommandLine) -> None:
    """Later changes alone are printed after a cursor, which a summary in JSON has as well."""
    create(cli, "ada@example.com")
    cursor = cursor_of(cli.run("changes").err)
    summary = json.loads(cli.run("changes", "--cursor", cursor, "--json").err)
    assert (summary["changes"], bool(summary["next_cursor"])) == (0, True)
    create(cli, "eve@example.com")
    assert seen(cli.run("changes", "--cursor", cursor).out) == [("CREATED", "eve@example.com")]


def test_cursor_file(cli: CommandLine, tmp_path: Path) -> None:
    """The same command with a cursor file goes on where it ended, however many pages there were."""
    file = tmp_path / "cursor"
    cli.import_file(cli.write("x.jsonl", *emails(*range(2100))))
    first = cli.run("changes", "--cursor-file", file)
    assert len({email for _, email in seen(first.out)}) == 2100
    assert first.err.endswith(f"2,100 changes; next: --cursor-file {file}\n")
    create(cli, "ada@example.com")
    assert seen(cli.run("changes", "--cursor-file", file).out) == [("CREATED", "ada@example.com")]
    assert cli.run("changes", "--cursor-file", file).out == ""


def test_cursor_after_output(
    cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cursor is kept only once the changes before it are on the disk, if they go to a file."""
    create(cli, "ada@example.com")
    position, out = tmp_path / "position", tmp_path / "out"
    synced: list[tuple[int, bool]] = []
    sync = os.fsync

    def note(number: int) -> None:
        sync(number)
        if os.path.samestat(os.fstat(number), out.stat()):
            synced.append((out.stat().st_size, position.exists()))

    for name, value in cli.environment.items():
        monkeypatch.setenv(name, value)
    with out.open("w") as file, monkeypatch.context() as patched:
        patched.setattr("sys.stdout", file)
        patched.setattr("os.fsync", note)
        commands.main(["changes", "--cursor-file", str(position)], standalone_mode=False)

    assert seen(out.read_text()) == [("CREATED", "ada@example.com")]
    assert synced[0] == (out.stat().st_size, False)
    assert position.exists()


def test_from_now(cli: CommandLine, tmp_path: Path) -> None:
    """Only later changes are printed, but a cursor in the file counts more."""
    command = ("changes", "--from-now", "--cursor-file", tmp_path / "cursor")
    create(cli, "ada@example.com")
    assert cli.run(*command).out == ""
    create(cli, "eve@example.com")
    assert seen(cli.run(*command).out) == [("CREATED", "eve@example.com")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_follow(cli: CommandLine, number: signal.Signals) -> None:
    """Changes are printed as they come; Ctrl-C ends that with the cursor to go on with.

    It may come before the last change that was printed is counted: that is printed again.
    """
    create(cli, "ada@example.com")
    process = follow(cli)
    assert seen(read_lines(process, 1)) == [("CREATED", "ada@example.com")]
    create(cli, "eve@example.com")
    assert seen(read_lines(process, 1)) == [("CREATED", "eve@example.com")]

    result = interrupt(process, number)

    assert (result.status, result.out) == (130, "")
    assert re.fullmatch(r"[12] changes; next: --cursor \S+\n", result.err)
    create(cli, "new@example.com")
    resumed = seen(cli.run("changes", "--cursor", cursor_of(result.err)).out)
    assert resumed[-1] == ("CREATED", "new@example.com")
    assert ("CREATED", "ada@example.com") not in resumed


def test_killed_follower(cli: CommandLine, tmp_path: Path) -> None:
    """One that is killed goes on after the changes that it has stored the cursor of."""
    file = tmp_path / "cursor"
    create(cli, "ada@example.com")
    process = follow(cli, "--cursor-file", file)
    read_lines(process, 1)
    wait_until(file.exists)
    before = file.read_text()
    create(cli, "eve@example.com")
    read_lines(process, 1)
    wait_until(lambda: file.read_text() != before)
    process.kill()
    finish(process)
    create(cli, "new@example.com")
    resumed = cli.run("changes", "--cursor-file", file)
    assert seen(resumed.out) == [("CREATED", "new@example.com")]


def test_restarted_server(
    make_cli: Callable[[str, str], CommandLine], tmp_path: Path, tenant: str
) -> None:
    """A follower says that the server is away, and goes on by itself when it is back."""
    with ExitStack() as stack:
        server = ServerProcess({"data_dir": tmp_path})
        stack.callback(server.end)
        server.wait_ready()
        cli = make_cli(server.address, tenant)
        create(cli, "ada@example.com")
        process = follow(cli)
        read_lines(process, 1)
        server.stop(signal.SIGKILL)
        assert process.stderr
        assert "trying again for up to 300 s" in process.stderr.readline()
        restarted = ServerProcess({"data_dir": tmp_path}, server.address)
        stack.callback(restarted.end)
        restarted.wait_ready()
        create(cli, "eve@example.com")
        assert seen(read_lines(process, 1)) == [("CREATED", "eve@example.com")]
        assert " changes; next: --cursor " in interrupt(process).err.splitlines()[-1]


@pytest.mark.parametrize(
    ("options", "status", "problem"),
    [
        (("--cursor", "x", "--cursor-file", "f"), 2, "begins elsewhere than"),
        (("--cursor", "x", "--from-now"), 2, "begins elsewhere than"),
        (("--cursor", "x"), 1, "cursor: must be a cursor that this API returned"),
        (("--cursor-file", "/nowhere/f"), 1, "/nowhere/f cannot be written: No such file"),
    ],
)
def test_wrong_cursor(
    cli: CommandLine, options: tuple[str, ...], status: int, problem: str
) -> None:
    """A cursor that is none, or cannot be kept, is an error."""
    result = cli.run("changes", *options)
    assert result.status == status
    assert problem in result.err


def test_unreadable_cursor_file(cli: CommandLine, tmp_path: Path) -> None:
    """A cursor file that is no text is an error, and stays."""
    file = tmp_path / "cursor"
    file.write_bytes(b"\xff\xfe")
    result = cli.run("changes", "--cursor-file", file)
    assert result.status == 1
    assert f"{file} cannot be read: it is not text\nNext: " in result.err
    assert file.read_bytes() == b"\xff\xfe"
