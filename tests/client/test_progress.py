"""Progress is a bar on a terminal, else lines."""

import os
import pty
import subprocess
import sys
from contextlib import suppress

import pytest

from tests.client.command_line import CommandLine, emails
from twc_customer_client import progress
from twc_customer_client.waiting import Waiting


def test_bar(cli: CommandLine) -> None:
    """On a terminal, a bar shows how many customers are done, and how fast."""
    path = cli.write("x.jsonl", *emails(*range(1000)))
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "twc_customer_client", "import", path],
        env=os.environ | cli.environment | {"TERM": "xterm", "COLUMNS": "120"},
        stdout=subprocess.DEVNULL,
        stderr=follower,
    )
    os.close(follower)
    output = b""
    # A terminal that nobody writes to any more ends with EIO on Linux.
    with suppress(OSError):
        while chunk := os.read(leader, 1 << 16):
            output += chunk
    os.close(leader)

    assert process.wait() == 0
    shown = output.decode()
    assert "importing" in shown
    assert "1,000 customers, " in shown


@pytest.mark.parametrize(("size", "share"), [(None, ""), (200, ", 50%")])
def test_lines(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    size: int | None,
    share: str,
) -> None:
    """Elsewhere, lines have the same, and the share if the size is known."""
    monkeypatch.setattr(progress, "_FIRST_LINE_SECONDS", 0.0)
    with progress.show_progress("importing", size, Waiting("127.0.0.1:1")) as update:
        update(1234, 100)
    line = capsys.readouterr().err
    assert line.startswith("importing: 1,234 customers, ")
    assert line.rstrip().endswith(f"/s{share}")


@pytest.mark.parametrize("is_terminal", [False, True])
def test_printed_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *, is_terminal: bool
) -> None:
    """A command that prints what it reads shows its progress only if no terminal shows that."""
    monkeypatch.setattr(progress, "_FIRST_LINE_SECONDS", 0.0)
    monkeypatch.setattr("sys.stdout.isatty", lambda: is_terminal)
    with progress.show_progress("reading", None, Waiting("127.0.0.1:1"), prints=True) as update:
        update(1, 0)
    assert bool(capsys.readouterr().err) != is_terminal
