"""Peers: the same API as teams would write it with other frameworks, one process a core."""

import subprocess
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from bench.contender import Contender
from bench.documents import to_json
from bench.ground import TENANT, Ground, environment
from bench.problems import BenchError
from bench.serving import Serving, on_cores

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
        return on_cores(
            ground.cores,
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

    def command(self, folder: Path) -> Sequence[str]:
        """Runs the module."""
        return [sys.executable, "-m", f"bench.peers.{self._module}"]


class GoPeer(Peer):
    """A program in Go, which is built where there are a toolchain and the packages."""

    _SOURCE = _PEERS / "go_gateway"
    # Outside the folder of a run, so that the next one finds it there.
    _BUILT = _PEERS.parents[1] / "build" / "bench" / "go_gateway"

    def missing(self) -> str:
        """Builds the program, and says what that lacks."""
        done = subprocess.run(
            [str(self._SOURCE / "build.sh"), sys.executable, str(self._BUILT)],
            capture_output=True,
            text=True,
            check=False,
        )
        if not done.returncode:
            return ""
        return next(iter(reversed(done.stderr.splitlines())), "it cannot be built")

    def command(self, folder: Path) -> Sequence[str]:
        """Runs the program."""
        return [str(self._BUILT / "go_gateway")]
