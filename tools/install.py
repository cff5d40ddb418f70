"""Runs a step of an installation for the Makefile: `python -m tools.install WHAT COMMAND...`.

It says what is done, and shows how far pip is: on a terminal in one line, which changes,
elsewhere in a line now and then. What the command itself prints is shown only if it fails.
"""

import re
import signal
import subprocess
import sys
import time
from itertools import cycle
from queue import Empty, SimpleQueue
from threading import Thread
from typing import NamedTuple, TextIO

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_FRAME_SECONDS = 0.1
_LINE_SECONDS = 10.0

_PACKAGE = re.compile(r"^\s*(?:Collecting|Processing|Obtaining) ([A-Za-z0-9][\w.-]*)")
_SIZE = re.compile(
    r"^\s*(?:Downloading|Using cached) \S+(?:\.whl|\.tar\.gz)\S* \(([\d.]+) (k|M)B\)"
)
_INSTALLING = "Installing collected packages"
_CLEAR = "\r\x1b[K"


class Progress(NamedTuple):
    """How far an installation is: packages found, megabytes of them, and what is done now."""

    packages: int = 0
    megabytes: float = 0
    step: str = "working"

    def after(self, line: str) -> "Progress":
        """Returns the progress after a line that pip has printed."""
        if found := _PACKAGE.match(line):
            return self._replace(packages=self.packages + 1, step=found[1])
        if size := _SIZE.match(line):
            more = float(size[1]) / (1 if size[2] == "M" else 1000)
            return self._replace(megabytes=self.megabytes + more)
        if line.startswith(_INSTALLING):
            return self._replace(step="writing files")
        return self

    def describe(self, seconds: float) -> str:
        """Returns a line that says so."""
        size = f"packages: {self.packages}, {self.megabytes:.0f} MB, " if self.packages else ""
        return f"{size}{seconds:.0f} s: {self.step}"


def install(what: str, command: list[str], out: TextIO) -> int:
    """Runs a command, shows its progress, and returns its exit status."""
    print(f"{what} ...", file=out, flush=True)
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as running:
        try:
            said = _follow(running, out)
        except KeyboardInterrupt:
            running.terminate()
            running.wait()
            print(_CLEAR if out.isatty() else "", end="", file=out, flush=True)
            # So that make says that it was interrupted, and nothing else does.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.raise_signal(signal.SIGINT)
    if running.returncode:
        print(*said, sep="", file=out, flush=True)
    return running.returncode


def _follow(running: "subprocess.Popen[str]", out: TextIO) -> list[str]:
    """Shows the progress until a command ends, and returns the lines that it has printed."""
    lines: SimpleQueue[str | None] = SimpleQueue()
    Thread(target=_read, args=(running, lines), daemon=True).start()
    said: list[str] = []
    progress, frames = Progress(), cycle(_FRAMES)
    started = shown = time.monotonic()
    while True:
        try:
            line = lines.get(timeout=_FRAME_SECONDS)
        except Empty:
            pass
        else:
            if line is None:
                break
            said.append(line)
            progress = progress.after(line)
        now = time.monotonic()
        if out.isatty():
            text = f"{_CLEAR}{next(frames)} {progress.describe(now - started)}"
            print(text, end="", file=out, flush=True)
        elif now - shown >= _LINE_SECONDS:
            shown = now
            print(f"  {progress.describe(now - started)}", file=out, flush=True)
    done = progress._replace(step="done" if running.wait() == 0 else "failed")
    clear = _CLEAR if out.isatty() else ""
    print(f"{clear}  {done.describe(time.monotonic() - started)}", file=out, flush=True)
    return said


def _read(running: "subprocess.Popen[str]", lines: SimpleQueue[str | None]) -> None:
    for line in running.stdout or ():
        lines.put(line)
    lines.put(None)


if __name__ == "__main__":
    sys.exit(install(sys.argv[1], sys.argv[2:], sys.stderr))
