"""Foreign clients: programs that make the calls of every client, and print what they saw."""

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import SECONDS
from tests.support.processes import die_with_parent

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "clients"
PYTHON = BUILD / "python" / "bin"

_NODE_PROGRAMS = Path(__file__).with_name("node")
_PROTOS = [ROOT / "protos", ROOT / "build" / "third_party"]


@dataclass(frozen=True)
class Client:
    """A client on one of the service's ports, and what else its program must know."""

    program: str
    port: str = "gateway_port"
    given: tuple[tuple[str, Any], ...] = ()

    def run(self, address: str, **given: Any) -> dict[str, Any]:
        """Runs the program, and returns what it saw of the service."""
        skip_unless_installed(self.program)
        argument = json.dumps(
            {"address": address, "protos": [*map(str, _PROTOS)]} | dict(self.given) | given
        )
        if self.program.endswith(".js"):
            # As a module of the folder in which its packages are installed.
            command, folder = ["node", "--input-type=module", "-", argument], BUILD
            code = _NODE_PROGRAMS.joinpath(self.program).read_text()
        else:
            module = f"tests.clients.python.{self.program}"
            command, folder, code = [str(PYTHON / "python"), "-m", module, argument], ROOT, ""
        ended = subprocess.run(
            command,
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(BUILD / "stubs")},
            input=code,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            preexec_fn=die_with_parent,
        )
        assert ended.returncode == 0, ended.stderr
        seen: dict[str, Any] = json.loads(ended.stdout)
        return seen


# Runs a client, the first time that it is asked for, and returns what it saw.
Observe = Callable[[Client], dict[str, Any]]


def skip_unless_installed(program: str) -> None:
    """Skips a test whose client this machine does not have; in CI fails it."""
    missing = next(_missing(program), None)
    if missing and os.environ.get("CI"):
        pytest.fail(f"in CI every client is tested: {missing}")
    if missing:
        pytest.skip(missing)


def _missing(program: str) -> Iterator[str]:
    if program.endswith(".js"):
        if not shutil.which("npm"):
            yield "clients in JavaScript need Node.js 20 or newer with npm"
        elif not (BUILD / "node-ready").exists():
            yield "`make clients` installs clients in JavaScript, with Node.js 20 or newer"
    elif not (BUILD / "python-ready").exists():
        yield "`make clients` installs clients in Python"
    elif program == "with_grpcurl" and (platform.system(), platform.machine()) != (
        "Linux",
        "x86_64",
    ):
        yield "the package of grpcurl is for Linux on x86-64"
