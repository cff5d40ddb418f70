"""Cleans up after a test run, however that ends: `python -m tests.support.run_cleanup FOLDER`.

The process waits until its standard input is closed, which a killed run does as
well. Then it ends what the run has started, and removes the folder of the run.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from tests.support.processes import RUN, end_strays

# Where, in the folder of a run, its PostgreSQL server has its data.
POSTGRES = "postgres"

_SECONDS = 20


def start(folder: Path) -> Callable[[], object]:
    """Starts the process for the run that has a folder.

    Returns a function that has it clean up, and waits for that.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.run_cleanup"],
        cwd=Path(__file__).parents[2],
        # Not a process of a worker: those are counted as left behind when that ends.
        env=os.environ | {RUN: str(folder), "PYTEST_XDIST_WORKER": "none"},
        stdin=subprocess.PIPE,
        # A Ctrl-C in the terminal is for the run.
        start_new_session=True,
    )
    return process.communicate


def stop_postgres(folder: Path) -> None:
    """Ends the PostgreSQL server that has its data in a folder, if there is one."""
    pid_file = folder / POSTGRES / "postmaster.pid"
    if pid_file.exists():
        with suppress(psutil.NoSuchProcess):
            server = psutil.Process(int(pid_file.read_text().splitlines()[0]))
            # PostgreSQL's immediate shutdown: nobody needs the data any more.
            server.send_signal(signal.SIGQUIT)
            server.wait(_SECONDS)


def _main() -> None:
    sys.stdin.read()
    folder = Path(os.environ[RUN])
    try:
        end_strays(None, _SECONDS)
        stop_postgres(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _main()
