"""A network of its own, in which commands find fixed ports free and hosts by invented names.

`python -m tests.support.isolation GIVEN` is the process that keeps it, until its standard
input is closed.
"""

import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest

from tests.support.processes import die_with_parent
from tests.support.programs import program

ROOT = Path(__file__).parents[2]

# Linux's numbers: set the flags of an interface, "up" and "running".
_SIOCSIFFLAGS = 0x8914
_UP = 0x1 | 0x40

_ENOUGH_BYTES = 65536


class Isolation:
    """Namespaces for network and mounts, while in a `with` block."""

    def __init__(
        self, mounts: Mapping[str, Path], forwarded: Mapping[int, Path] | None = None
    ) -> None:
        """`mounts` replace files and folders; ports are `forwarded` to Unix sockets."""
        ports = {port: str(path) for port, path in (forwarded or {}).items()}
        places = {place: str(path) for place, path in mounts.items()}
        self._given = json.dumps({"mounts": places, "forwarded": ports})

    def __enter__(self) -> Self:
        self._keeper = subprocess.Popen(
            [*_unshare(), sys.executable, "-m", "tests.support.isolation", self._given],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=die_with_parent,
        )
        assert self._keeper.stdout
        assert self._keeper.stdout.readline(), "the network could not be made"
        return self

    def __exit__(self, *_: object) -> None:
        self._keeper.communicate()

    def command(self, command: Sequence[str]) -> list[str]:
        """Returns the command line that runs a command inside, in the folder `/`."""
        enter = ["nsenter", f"--target={self._keeper.pid}", "--net", "--mount"]
        if os.getuid():
            enter += ["--user", "--preserve-credentials"]
        return [*enter, "--", *command]


def require() -> None:
    """Skips a test on a machine that cannot isolate anything.

    In CI util-linux must be there; what the system permits, no installation changes.
    """
    if sys.platform != "linux":
        pytest.skip("namespaces need Linux")
    for name in ("unshare", "nsenter"):
        program(name, "util-linux")
    if subprocess.run([*_unshare(), "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may not make namespaces")


def _unshare() -> list[str]:
    return ["unshare", "--net", "--mount", *(["--map-root-user"] if os.getuid() else []), "--"]


def _main() -> None:
    given = json.loads(sys.argv[1])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _UP))
    for place, path in given["mounts"].items():
        subprocess.run(["mount", "--bind", path, place], check=True)  # noqa: S607 - on the PATH
    for port, path in given["forwarded"].items():
        listener = socket.create_server(("127.0.0.1", int(port)))
        threading.Thread(target=_forward, args=(listener, path), daemon=True).start()
    print("ready", flush=True)  # noqa: T201 - for who waits
    sys.stdin.read()


def _forward(listener: socket.socket, path: str) -> None:
    """Connects who comes to a Unix socket."""
    while True:
        client, _ = listener.accept()
        server = socket.socket(socket.AF_UNIX)
        with suppress(OSError):
            server.connect(path)
        for ends in ((client, server), (server, client)):
            threading.Thread(target=_pass_on, args=ends, daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while received := source.recv(_ENOUGH_BYTES):
            target.sendall(received)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    _main()
