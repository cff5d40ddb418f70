"""What it is worth that writes which come together share a commit."""

import sys
from collections.abc import Sequence
from pathlib import Path

from bench.batches import Batches
from bench.extra import Extra, Measured
from bench.ground import Ground
from bench.load.requests import Request
from bench.load.running import Pressure, Protocol, put
from bench.progress import Tell
from bench.results import Alone
from bench.scenarios import CREATE, PATH
from bench.service import serve
from bench.serving import on_cores

_CLIENTS = 16


class GroupCommit(Extra):
    """Creations by one server, and by one that commits each of them by itself."""

    name = "group commit"

    def measure(self, ground: Ground, folder: Path, tell: Tell) -> Measured:
        """Returns the customers per second of both."""
        count = ground.plan.group_commits
        requests = Batches(ground).batch(CREATE, "gRPC", "group", count + ground.plan.warm_up)
        own = [sys.executable, "-m", "bench.single_commits"]
        return {
            Alone.GROUPED: _rate(ground, folder / "group", [], requests),
            Alone.SINGLE: _rate(ground, folder / "single", own, requests),
        }


def _rate(ground: Ground, folder: Path, own: Sequence[str], requests: Sequence[Request]) -> float:
    folder.mkdir()
    protocol = Protocol(PATH + CREATE.rpc, ground.caller)
    lengths = (min(ground.lengths["gRPC"]) // 2, max(ground.lengths["gRPC"]) * 2)
    pressure = Pressure(_CLIENTS, lengths)
    warm_up = ground.plan.warm_up
    settings = ground.settings(data_dir=folder / "data")

    def command(port: int) -> Sequence[str]:
        return [*own, *serve(port)[3:]] if own else serve(port)

    with on_cores(ground.cores[:1], settings, folder / "log", command) as serving:
        put(ground.folder, serving.ports, protocol, pressure, requests[:warm_up])
        return put(ground.folder, serving.ports, protocol, pressure, requests[warm_up:]).rate
