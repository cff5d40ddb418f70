"""Progress is a bar on a terminal, else lines."""

import os
import pty
import subprocess
import sys
from contextlib import suppress

import pytest

from tests.client.command_line import CommandLine, emails
from twc_customer_client import progress


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
    monkeypatch.setattr(progress, "_LINE_SECONDS", 0.0)
    with progress.show_progress("importing", size) as update:
        update(1234, 100)
    line = capsys.readouterr().err
    assert line.startswith("importing: 1,234 customers, ")
    assert line.rstrip().endswith(f"/s{share}")
