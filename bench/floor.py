"""The floor: what is left of the service when there is nothing to do for a request."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from bench.contender import Contender
from bench.ground import Ground, environment
from bench.processes import running
from bench.serving import HOST, Serving, envoy, free_ports, on_cores

_ANSWER = "answer.binpb"


class Floor(Contender):
    """gRPC handlers that return one customer's bytes whatever is asked, bare or behind Envoy."""

    is_real = False

    def prepare(self, ground: Ground, folder: Path) -> None:
        """Writes the bytes that it returns."""
        folder.joinpath(_ANSWER).write_bytes(ground.customers[0].SerializeToString())

    def serving(self, ground: Ground, folder: Path) -> AbstractContextManager[Serving]:
        """Serves native gRPC on a port a core, or REST on one port."""
        if self.transport == "REST":
            return _behind_envoy(ground, folder)
        return on_cores(
            ground.cores, ground.settings(), folder / "log", lambda port: _command(folder, port)
        )


@contextmanager
def _behind_envoy(ground: Ground, folder: Path) -> Iterator[Serving]:
    log = folder / "log"
    [port] = free_ports(1)
    settings = ground.settings(gateway_port=port)
    with ExitStack() as stack:
        pids = []
        sockets = [folder / f"{core}.sock" for core in ground.behind_gateway]
        for core, path in zip(ground.behind_gateway, sockets, strict=True):
            command = _command(folder, path)
            process = stack.enter_context(running(command, log, environment(settings), core))
            pids.append(process.pid)
        served = stack.enter_context(envoy(settings, sockets, log))
        yield Serving(served.ports, served.pids + pids)


def _command(folder: Path, place: int | Path) -> Sequence[str]:
    address = f"unix:{place}" if isinstance(place, Path) else f"{HOST}:{place}"
    return [
        *(sys.executable, "-m", "bench.peers.floor"),
        *("--body", str(folder / _ANSWER), address),
    ]
