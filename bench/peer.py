"""Peers: the same API as teams would write it with other frameworks, one process a core."""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from bench.contender import Contender
from bench.documents import to_json
from bench.ground import TENANT, Ground, environment
from bench.problems import BenchError
from bench.serving import Serving, one_a_core

_PEERS = Path(__file__).parent / "peers"


class Peer(Contender):
    """A command that fills its database (`seed FILE`) and serves it (`serve PORT`)."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "REST")

    def command(self, folder: Path) -> Sequence[str]:
        """The command, which is given the folder of its database and the tenant."""
        raise NotImplementedError

    def prepare(self, ground: Ground, folder: Path) -> None:
        """Has it fill its database from JSON Lines."""
        customers = folder / "customers.jsonl"
        with customers.open("w", encoding="utf-8") as file:
            file.writelines(
                to_json(customer, is_answer=True) + "\n" for customer in ground.customers
            )
        self._run([*self._arguments(folder), "seed", str(customers)], ground)
        customers.unlink()

    def serving(self, ground: Ground, folder: Path) -> AbstractContextManager[Serving]:
        """Serves REST on a port a core."""
        return one_a_core(
            ground,
            ground.settings(),
            folder / "log",
            lambda port: [*self._arguments(folder), "serve", str(port)],
        )

    def _arguments(self, folder: Path) -> list[str]:
        return [*self.command(folder), "--data", str(folder), "--tenant", TENANT]

    def _run(self, command: Sequence[str], ground: Ground) -> None:
        done = subprocess.run(
            command,
            env=environment(ground.settings()),
            cwd=_PEERS.parents[1],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BenchError(f"{self.name} was not prepared: {done.stdout}{done.stderr}")


class PythonPeer(Peer):
    """A module of `bench.peers`."""

    def __init__(self, name: str, module: str) -> None:
        super().__init__(name)
        self._module = module

    def command(self, folder: Path) -> Sequence[str]:  # noqa: ARG002 - the same for every folder
        """Runs the module."""
        return [sys.executable, "-m", f"bench.peers.{self._module}"]


class GoPeer(Peer):
    """A program in Go, whose source would be in `bench/peers/go_gateway`."""

    _SOURCE = _PEERS / "go_gateway"

    def missing(self) -> str:
        """Says if there is no Go, or no source."""
        if not shutil.which("go"):
            return "no Go toolchain on this machine"
        return "" if self._SOURCE.is_dir() else "its source is not part of this repository"

    def command(self, folder: Path) -> Sequence[str]:
        """Runs the program."""
        return [str(folder / "go_gateway")]

    def prepare(self, ground: Ground, folder: Path) -> None:
        """Builds it, too."""
        output = self.command(folder)[0]
        self._run(["go", "build", "-C", str(self._SOURCE), "-o", output, "."], ground)
        super().prepare(ground, folder)
