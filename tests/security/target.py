"""The service under attack: its settings, its processes and their memory, and its log."""

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import psutil

from tests.gateway.service import UnsharedService
from tests.security import issuer
from tests.security.issuer import IssuerServer
from tests.security.victim import READ, Plan, Sample, Victim
from tests.support.processes import RUN

VICTIM, ATTACKER = "victim", "attacker"

# What a service is told beside its issuer, by the scene that an attack wants.
PLAIN, REALMS, KEYS = "plain", "realms", "keys"
SCENES: dict[str, dict[str, Any]] = {
    PLAIN: {"cors_origins": ["https://shop.example"]},
    REALMS: {},
    # Keys are renewed, and tokens end, within the time of an attack.
    KEYS: {"jwks_lifetime_seconds": 3, "jwks_cooldown_seconds": 1, "clock_skew_seconds": 0},
}

_NEWCOMERS = 1000
# So many of them say what the victim's calls take.
_CALM = 8
_POLL_SECONDS = 0.1
_MEBIBYTE = 1 << 20


class Memory:
    """Samples the resident memory of a process and its descendants, in a thread."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._peaks: dict[int, float] = {}
        self._names: dict[int, str] = {}
        self._over = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def reset(self) -> None:
        """Forgets the peaks so far."""
        self._peaks = {}

    def peaks(self) -> dict[str, float]:
        """The highest memory of each process since then, in MiB, by its name."""
        self._sample()
        return self._named(self._peaks)

    def now(self) -> dict[str, float]:
        """The memory of each process, in MiB, by its name."""
        return self._named(self._sample())

    def pids(self) -> set[int]:
        """The processes that run."""
        return set(self._sample())

    def name(self, pid: int) -> str:
        """The name of a process that runs, or has run."""
        return self._names[pid]

    def stop(self) -> None:
        """Ends the thread."""
        self._over.set()

    def _watch(self) -> None:
        while not self._over.wait(_POLL_SECONDS):
            self._sample()

    def _sample(self) -> dict[int, float]:
        """Returns the memory of each process by its id, and keeps the highest."""
        sample = {}
        with suppress(psutil.Error):
            for process in [self._root, *self._root.children(recursive=True)]:
                with suppress(psutil.Error):
                    if name := self._name(process):
                        self._names[process.pid] = name
                        sample[process.pid] = process.memory_info().rss / _MEBIBYTE
        peaks = self._peaks
        for pid, mebibytes in sample.items():
            peaks[pid] = max(peaks.get(pid, 0), mebibytes)
        return sample

    def _name(self, process: psutil.Process) -> str:
        """Names a process by its command; one that is only just starting has no name."""
        if process.pid == self._root.pid:
            return "supervisor"
        command = process.cmdline()
        if "serve" in command:
            return "worker"
        if "-m" in command:
            return command[command.index("-m") + 1].rpartition(".")[2]
        return process.name() if command else ""

    def _named(self, values: dict[int, float]) -> dict[str, float]:
        named: dict[str, float] = {}
        for pid, mebibytes in sorted(values.items()):
            name, number = self._names[pid], 2
            while name in named:
                name, number = f"{self._names[pid]} {number}", number + 1
            named[name] = mebibytes
        return named


class Target:
    """A service with its issuer, and a victim that calls it."""

    def __init__(self, service: UnsharedService, issuer_server: IssuerServer, folder: Path) -> None:
        self.issuer = issuer_server
        self.process = service.process
        self.ports = {
            "gateway": service.settings.gateway_port,
            "native": service.settings.grpc_port,
        }
        self.memory = Memory(service.process.pid)
        self.fresh = self.memory.now()
        self.pids = self.memory.pids()
        self.tokens = {name: issuer_server.token(name) for name in (VICTIM, ATTACKER)}
        newcomers = [f"newcomer-{number}" for number in range(_NEWCOMERS)]
        self.victim = Victim(
            Plan(
                self.ports["gateway"],
                self.ports["native"],
                self.headers(VICTIM),
                [headers_of(it, issuer_server.token(it)) for it in newcomers],
            )
        )
        [self._log] = folder.glob("*.log")
        self._read = 0
        # The times without an attack, in which the victim's calls were served.
        self.calm: list[tuple[float, float]] = []

    def headers(self, tenant: str) -> dict[str, str]:
        """The headers of a caller that is a tenant."""
        return headers_of(tenant, self.tokens[tenant])

    def ended(self) -> list[str]:
        """The names of processes that the service began with and that do not run."""
        return sorted(self.memory.name(pid) for pid in self.pids - self.memory.pids())

    def calm_calls(self) -> list[Sample]:
        """The victim's calls of the last times without an attack."""
        return [each for time in self.calm[-_CALM:] for each in self.victim.calls(*time)]

    def is_serving(self, begin: float, end: float) -> bool:
        """Tells whether the victim's calls of a time were all served."""
        calls = self.victim.calls(begin, end)
        return any(each.kind == READ for each in calls) and all(it.is_good for it in calls)

    def new_log(self) -> bytes:
        """What the service has written since this was last asked."""
        with self._log.open("rb") as log:
            log.seek(self._read)
            written = log.read()
        self._read += len(written)
        return written

    def close(self) -> None:
        """Ends the victim."""
        self.memory.stop()
        self.victim.close()


def headers_of(tenant: str, token: str) -> dict[str, str]:
    """The headers that name a tenant, and carry a token."""
    return {"authorization": f"Bearer {token}", "x-twc-tenant": tenant}


class Targets:
    """The services that run, one in each scene that was asked for."""

    def __init__(self) -> None:
        self._running: dict[str, tuple[Target, ExitStack]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for scene in [*self._running]:
            self.end(scene)

    def get(self, scene: str) -> Target:
        """Returns the service in a scene, which is started unless it runs."""
        if scene not in self._running:
            stack = ExitStack()
            self._running[scene] = stack.enter_context(running(scene)), stack
        return self._running[scene][0]

    def end(self, scene: str) -> None:
        """Ends the service in a scene."""
        _, stack = self._running.pop(scene)
        stack.close()


@contextmanager
def running(scene: str) -> Iterator[Target]:
    """Runs a service in a scene, with one worker and default limits, and a victim."""
    with (
        tempfile.TemporaryDirectory(prefix="twc-attack-") as name,
        issuer.serving(has_realms=scene == REALMS) as issuer_server,
    ):
        folder = Path(name)
        os.environ.setdefault(RUN, tempfile.gettempdir())
        settings = issuer_server.settings | SCENES[scene]
        with UnsharedService(folder, workers=1, **settings) as service:
            target = Target(service, issuer_server, folder)
            try:
                target.victim.wait_ready()
                target.fresh = target.memory.now()
                yield target
            finally:
                target.close()
