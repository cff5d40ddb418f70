"""Tests of the processes of a benchmark."""

import subprocess
import sys

from bench.processes import resource_usage

# Runs a process that computes for a while, then says so and waits.
PARENT = """
import subprocess, sys
subprocess.run(
    [sys.executable, "-c", "import time; any(time.process_time() > 0.3 for _ in iter(int, 1))"]
)
print(flush=True)
sys.stdin.read()
"""


def test_time_of_ended_processes() -> None:
    """The CPU time of a process includes that of its descendants that have ended."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=pipe, stdout=pipe) as parent:
        assert parent.stdout
        parent.stdout.readline()
        # Times are counted in ticks of the system.
        assert resource_usage([parent.pid]).cpu_seconds > 0.2
