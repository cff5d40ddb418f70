"""Stops workers, and the whole service, under load by SIGTERM: no call fails.

Workers are stopped one by one, as in a rolling restart: the others answer all
calls. The service is stopped with DRAIN_SECONDS: it fails its health check at
once and answers all calls, those on new connections too, until they are over;
each connection that was made is answered.
"""

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from tests.gateway.service import Service
from tests.gateway.stacks import http_headers
from tests.soak.databases import OwnDatabase
from tests.soak.report import Plan, Report
from tests.soak.steady import READ, REFUSED, Load, Outcome
from tests.support.builders import NO_CUSTOMER
from tests.support.http_client import http_request
from tests.support.server_process import wait_until

COLUMNS = ("Stopped", "Stops", "Calls answered", "Faults")
_WORKERS = 2
# Half of it is time for the health check to fail, on a busy machine.
_DRAIN_SECONDS = 5
# Calls between two stops.
_CALLS = 200

# As many calls and streams as the clients make.
_ROOM: dict[str, Any] = {
    "threads": 16,
    "tenant_streams": 8,
    "tenant_concurrent_calls": 1000,
    "tenant_requests_per_second": 0,
}


class Stops(NamedTuple):
    """How often a part was stopped, how many calls were answered, and what was not as promised."""

    part: str
    rounds: int
    answered: int
    faults: list[str]


class Callers(NamedTuple):
    """How many clients call meanwhile, and how long each pauses between two calls."""

    number: int = 32
    pause_seconds: float = 0


# Stops a part so many times, while clients call, with its data in a folder.
Stop = Callable[[Path, int, Callers], Stops]


def run(_: OwnDatabase, folder: Path, plan: Plan) -> Report:
    """Stops workers, then the whole service, as often as the plan has rounds."""
    seen = [
        stop(folder / stop.__name__, plan.rounds, Callers())
        for stop in (stop_workers, stop_service)
    ]
    rows = [(it.part, it.rounds, it.answered, len(it.faults)) for it in seen]
    return Report(COLUMNS, rows, [fault for it in seen for fault in it.faults])


def stop_workers(folder: Path, rounds: int, callers: Callers) -> Stops:
    """Stops workers in turn, each when the one before has been replaced."""
    with Service(folder, **_ROOM, workers=_WORKERS) as service:
        load = _load(service, callers)
        with load.running():
            for number in range(rounds):
                _await_reads(load)
                [*pids] = service.workers()
                victim = service.workers()[pids[number % _WORKERS]]
                victim.send_signal(signal.SIGTERM)
                victim.wait()
                _await_all(service, f"round-{number}")
            _await_reads(load)
    return Stops("a worker", rounds, *_judge(load.outcomes))


def stop_service(folder: Path, rounds: int, callers: Callers) -> Stops:
    """Stops the whole service again and again, and starts it for the next time."""
    seen = [_stop_once(folder, callers) for _ in range(rounds)]
    faults = [fault for _, found in seen for fault in found]
    return Stops("the service", rounds, sum(answered for answered, _ in seen), faults)


def _stop_once(folder: Path, callers: Callers) -> tuple[int, list[str]]:
    with Service(folder, **_ROOM, workers=_WORKERS, drain_seconds=_DRAIN_SECONDS) as service:
        load = _load(service, callers)
        health = f"http://127.0.0.1:{service.settings.gateway_port}/healthz"
        with load.running():
            _await_reads(load)
            # Before the service knows: nothing may be refused until DRAIN_SECONDS later.
            told = time.monotonic()
            service.process.send_signal(signal.SIGTERM)
            wait_until(lambda: http_request("GET", health).status_code == 503)
            unhealthy = time.monotonic()
            status = service.status()
    end = told + _DRAIN_SECONDS
    answered, faults = _judge(it for it in load.outcomes if it.status != REFUSED or it.ended < end)
    if status:
        faults.append(f"the service ended with status {status}")
    if unhealthy > end - _DRAIN_SECONDS / 2:
        faults.append(f"/healthz failed only after {unhealthy - told:.2f} s")
    if not any(it.is_done and it.began > end - _DRAIN_SECONDS / 4 for it in load.outcomes):
        faults.append("no call was answered in the last quarter of DRAIN_SECONDS")
    return answered, faults


def _load(service: Service, callers: Callers) -> Load:
    with service.http("acme") as http:
        created = http.post("/customers", json={"email": f"{time.time_ns()}@example.com"}).json()
    path = f"/customers/{created['id']}"
    return Load(service.settings.gateway_port, http_headers("acme"), path, *callers)


def _await_reads(load: Load) -> None:
    seen = len(load.outcomes)
    wait_until(lambda: sum(it.kind == READ for it in load.outcomes[seen:]) > _CALLS)


def _await_all(service: Service, label: str) -> None:
    """Waits until there are all workers, and the gateway has calls answered by each."""
    with service.http("acme", label) as http:

        def all_answer() -> bool:
            http.get(NO_CUSTOMER)
            workers = {*service.workers()}
            return len(workers) == _WORKERS and service.served(label) == workers

        wait_until(all_answer)


def _judge(outcomes: Iterable[Outcome]) -> tuple[int, list[str]]:
    """Returns the number of calls that were answered, and what others came to."""
    counts = Counter(
        None if it.is_done else f"a {it.kind} was {it.status}: {it.body.decode()}"
        for it in outcomes
    )
    answered = counts.pop(None, 0)
    return answered, [f"{count} times {seen}" for seen, count in counts.items()]
