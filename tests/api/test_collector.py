"""The garbage collector, which is stopped while a server's modules are imported."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import grpc

from tests.support.client import SECONDS
from tests.support.processes import die_with_parent
from tests.support.tokens import trust
from twc_customer_server.settings.model import Settings

MAIN = """
import gc
from twc_customer_server.__main__ import main
print(gc.isenabled())
main()
print(gc.isenabled(), gc.get_freeze_count() > 0)
"""
BEGINS = ["False", "True True"]


def _start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", MAIN, *arguments],
        env=os.environ | Settings(data_dir=folder, **trust()).environment(),
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=die_with_parent,
    )


def test_command(tmp_path: Path) -> None:
    """A command collects garbage, once all is imported."""
    said, _ = _start(tmp_path, "migrate").communicate()
    first, *_, last = said.splitlines()
    assert [first, last] == BEGINS


def test_server(tmp_path: Path) -> None:
    """A server collects garbage, once all is imported."""
    path = tmp_path / "server.sock"
    server = _start(tmp_path, "serve", f"unix:{path}")
    with grpc.insecure_channel(f"unix:{path}") as channel:
        grpc.channel_ready_future(channel).result(SECONDS)
    server.send_signal(signal.SIGTERM)
    said, _ = server.communicate()
    first, *_, last = said.splitlines()
    assert [first, last] == BEGINS
