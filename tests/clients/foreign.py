"""Foreign clients: programs that make the calls of every client, and print what they saw."""

import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.client import SECONDS
from tests.support.processes import die_with_parent
from tests.support.programs import skip_or_fail

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "clients"
# Programs in Python, and the Python that has their packages.
BIN = BUILD / "python" / "bin"
PYTHON = str(BIN / "python")
# Node.js for code that it reads, a module of the folder in which it runs, with its packages.
NODE = [str(BIN / "node"), "--input-type=module", "-"]

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
        known = {
            "address": address,
            "protos": [*map(str, _PROTOS)],
            "shared": str(_NODE_PROGRAMS / "shared.js"),
        }
        argument = json.dumps(known | dict(self.given) | given)
        if self.program.endswith(".js"):
            code = _NODE_PROGRAMS.joinpath(self.program).read_text()
            printed = run([*NODE, argument], BUILD, code)
        else:
            printed = run([PYTHON, "-m", f"tests.clients.python.{self.program}", argument], ROOT)
        seen: dict[str, Any] = json.loads(printed)
        return seen


def run(command: list[str], folder: Path, code: str = "", **environment: str) -> str:
    """Runs a program, or code that it reads, in a folder, and returns what it prints."""
    ended = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(BUILD / "stubs")} | environment,
        input=code,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        preexec_fn=die_with_parent,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


# Runs a client, the first time that it is asked for, and returns what it saw.
Observe = Callable[[Client], dict[str, Any]]


def skip_unless_installed(program: str) -> None:
    """Skips a test whose client this machine does not have; in CI fails it."""
    if missing := next(_missing(program), None):
        skip_or_fail(missing)


def _missing(program: str) -> Iterator[str]:
    if not (BUILD / "node-ready").exists():
        yield "`make clients` installs the clients"
    elif program == "with_grpcurl" and (platform.system(), platform.machine()) != (
        "Linux",
        "x86_64",
    ):
        yield "the package of grpcurl is for Linux on x86-64"
