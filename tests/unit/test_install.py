"""A step of an installation, as `make` shows it."""

import os
import pty
import re
import signal
import subprocess
import sys

import pytest

from tools.install import Progress

LINES = {
    "package": ("Collecting grpcio==1.85.1 (from -r a.txt)\n", Progress(1, 0, "grpcio")),
    "own package": ("Obtaining file:///work\n", Progress(1, 0, "file")),
    "megabytes": ("  Downloading envoy-1.whl.metadata (2.5 MB)\n", Progress(0, 2.5, "working")),
    "kilobytes": ("  Using cached idna-3.20-py3-none-any.whl (70 kB)\n", Progress(0, 0.07)),
    "files": ("Installing collected packages: a, b\n", Progress(0, 0, "writing files")),
    "other": ("Requirement already satisfied: a\n", Progress()),
}


def _command(code: str) -> list[str]:
    return [sys.executable, "-m", "tools.install", "Doing it", sys.executable, "-c", code]


@pytest.mark.parametrize(("line", "progress"), LINES.values(), ids=LINES)
def test_progress(line: str, progress: Progress) -> None:
    """What pip prints moves the progress on."""
    assert Progress().after(line) == progress


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("print('much')", 0, ["Doing it ...", "done"]),
        ("import sys; print('much'); sys.exit(3)", 3, ["Doing it ...", "failed", "much"]),
    ],
    ids=["success", "failure"],
)
def test_lines(code: str, status: int, said: list[str]) -> None:
    """A step is said in lines, and what it printed only if it failed."""
    ended = subprocess.run(_command(code), capture_output=True, text=True, check=False)

    assert ended.returncode == status
    lines = (re.sub(r"^ +\d+ s: ", "", line) for line in ended.stderr.splitlines())
    assert [line for line in lines if line] == said
    assert ended.stdout == ""


def test_interrupt_at_a_terminal() -> None:
    """Ctrl-C ends a step by the signal, with no line of its own, so that make says one."""
    terminal, end = pty.openpty()
    with subprocess.Popen(
        _command("import time; time.sleep(60)"), stderr=end, start_new_session=True
    ) as process:
        os.close(end)
        shown = b""
        while b"working" not in shown:
            shown += os.read(terminal, 1024)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(20) == -signal.SIGINT
    shown += os.read(terminal, 65536)
    os.close(terminal)
    assert shown.endswith(b"\r\x1b[K")
    assert shown.count(b"\n") == 1
    assert b"Traceback" not in shown
