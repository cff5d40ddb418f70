"""Kills the service's processes while clients write: nothing acknowledged is lost, or made twice.

In each round clients of a new tenant create, upload, import, change and delete customers, half of
them with keys; then the next victim is killed by SIGKILL, and the clients go on. Those with a
key, and those that import, repeat what was not answered until it is. All that is stored is then
compared with all that was answered, again after the last round, and with the copy of a client that
followed the changes meanwhile.
"""

import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import psutil

from tests.soak.databases import POSTGRESQL, OwnDatabase, end
from tests.soak.follower import following
from tests.soak.ledger import Ledger, differences, state_in, state_of
from tests.soak.place import Place
from tests.soak.report import Plan, Report, seconds
from tests.soak.writers import Crew, export, writing
from tests.support.client import SECONDS
from tests.support.program import say
from tests.support.server_process import wait_until
from twc_customer_gateway.config import LARGE_BODIES, PUBLIC

COLUMNS = (
    "Killed",
    "Kills",
    "Calls acknowledged",
    "unknown",
    "not made (503)",
    "repeated",
    "Customers compared",
    "Pages of changes",
    "Served again after (s: median, longest)",
    "Faults",
)
_WRITERS = 6
# Calls that are acknowledged before a kill, and after it.
_BEFORE, _AFTER = 40, 40
_LONGEST_WAIT_SECONDS = 0.3
# What PostgreSQL calls a process that serves a session and has nothing to do.
_IDLE = "[local] idle"


class Round(NamedTuple):
    """What was seen of a kill."""

    victim: str
    tenant: str
    recovery: float
    ledgers: list[Ledger]
    pages: int
    faults: list[str]


def kill_server(place: Place) -> None:
    """Kills one of the processes that have the server; the supervisor starts another."""
    end([*place.service.servers().values()][:1])


def kill_servers(place: Place) -> None:
    """Kills all processes that have the server at once."""
    end([*place.service.servers().values()])


def kill_public_envoy(place: Place) -> None:
    """Kills the gateway's first Envoy."""
    end([place.service.envoy(PUBLIC)])


def kill_large_envoy(place: Place) -> None:
    """Kills the Envoy of large bodies, which uploads pass through."""
    end([place.service.envoy(LARGE_BODIES)])


def kill_supervisor(place: Place) -> None:
    """Kills the supervisor, with which the others end, and starts the service again."""
    others = place.service.children()
    end([psutil.Process(place.service.process.pid)])
    place.service.process.wait()
    place.restart()
    _, alive = psutil.wait_procs(others, SECONDS)
    assert not alive, f"left running: {alive}"


def kill_database(place: Place) -> None:
    """Kills all processes of the database, and starts it again."""
    place.database.kill()


def kill_session(place: Place) -> None:
    """Kills a process that serves a session: the database ends all others, and recovers."""
    wait_until(lambda: bool(_sessions(place)))
    end(_sessions(place)[:1])


def _sessions(place: Place) -> list[psutil.Process]:
    """Returns the processes of the database that serve a session, between two statements."""
    found = []
    for process in place.database.processes()[1:]:
        with suppress(psutil.NoSuchProcess):
            if " ".join(process.cmdline()).strip().endswith(_IDLE):
                found.append(process)
    return found


Kill = Callable[[Place], None]
VICTIMS: dict[str, Kill] = {
    "worker": kill_server,
    "supervisor": kill_supervisor,
    "all workers": kill_servers,
    "public Envoy": kill_public_envoy,
    "Envoy of large bodies": kill_large_envoy,
}


def victims(database: OwnDatabase) -> dict[str, Kill]:
    """Returns what is killed by turns; on SQLite, the workers are the database."""
    if database.name != POSTGRESQL:
        return VICTIMS
    return {"database": kill_database} | VICTIMS | {"database session": kill_session}


def run(place: Place, plan: Plan) -> Report:
    """Kills as many times as the plan has rounds."""
    chance = random.Random(plan.seed)
    turns = [*victims(place.database).items()]
    rounds = []
    for number in range(plan.rounds):
        name, act = turns[number % len(turns)]
        rounds.append(_round(place, f"kill-{number}", name, act, chance))
        last = rounds[-1]
        faults = "; ".join(last.faults) or "held"
        say(f"[{number + 1}/{plan.rounds}] {name}: back after {last.recovery:.2f} s, {faults}")
    final = [it for each in rounds for it in differences(each.ledgers, export(place, each.tenant))]
    rows = [_row(name, [it for it in rounds if it.victim == name]) for name, _ in turns]
    once = [fault for it in rounds for fault in it.faults]
    return Report(COLUMNS, rows, once + [f"in the end, {it}" for it in final if it not in once])


def _round(place: Place, tenant: str, victim: str, act: Kill, chance: random.Random) -> Round:
    with (
        writing(place, tenant, _WRITERS, chance.randrange(1 << 32)) as crew,
        following(place, tenant) as follower,
    ):
        place.wait_whole()
        _await_calls(crew, time.monotonic(), _BEFORE)
        time.sleep(chance.uniform(0, _LONGEST_WAIT_SECONDS))
        began = time.monotonic()
        act(place)
        # Calls that were acknowledged meanwhile may have been over before.
        served = _await_calls(crew, time.monotonic(), _AFTER)
        ledgers = crew.stop()
        copy = follower.copy()
    stored = export(place, tenant)
    faults = [*differences(ledgers, stored), *place.database.faults(), *follower.faults]
    faults += [fault for ledger in ledgers for fault in ledger.faults]
    if {it["id"]: state_in(it) for it in copy} != {it.id: state_of(it) for it in stored}:
        faults.append(f"{tenant}: a copy by changes has {len(copy)} customers, or others")
    return Round(victim, tenant, served[0] - began, ledgers, follower.pages, faults)


def _await_calls(crew: Crew, moment: float, count: int) -> list[float]:
    """Waits for calls to be acknowledged after a time, and returns when each was."""
    wait_until(lambda: len(crew.acknowledged_since(moment)) >= count)
    return crew.acknowledged_since(moment)


def _row(victim: str, rounds: list[Round]) -> list[object]:
    ledgers = [ledger for each in rounds for ledger in each.ledgers]
    counts = sum((ledger.counts for ledger in ledgers), Counter[str]())
    return [
        victim,
        len(rounds),
        counts["acknowledged"],
        counts["unknown"],
        counts["not made"],
        counts["repeated"],
        sum(len(ledger.customers) for ledger in ledgers),
        sum(each.pages for each in rounds),
        seconds([each.recovery for each in rounds]),
        sum(len(each.faults) for each in rounds),
    ]
