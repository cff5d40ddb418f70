"""Keeps a service under a mixed load, and measures whether what it takes stays the same.

Clients create, change and delete customers of their own, as many as they keep, by REST, gRPC,
uploads and imports, with keys and without; others read, list, look up, export, and follow the
changes. Memory, files and threads of each process, the write-ahead log and the sessions of the
database are sampled: a line through the samples of the second half must hardly rise.
"""

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

import psutil
from twc.customer.v2 import customer_service_pb2 as pb

from tests.soak.databases import SQLITE
from tests.soak.follower import following
from tests.soak.ledger import differences
from tests.soak.place import Answer, Caller, Place, calling
from tests.soak.report import Plan, Report
from tests.soak.samples import MEBIBYTE, Sampler, Series, measured
from tests.soak.writers import export, writing
from tests.support.client import SECONDS
from tests.support.concurrency import in_background
from twc_customer_gateway.config import ENVOYS

COLUMNS = ("Measured", "At first", "At last", "Highest", "Growth", "Growth in an hour", "At most")
_WRITERS, _READERS = 2, 2
# Between two calls of a client.
_PAUSE_SECONDS = 0.03
_SAMPLES = 240
_SHORTEST_SECONDS = 0.1
_TENANT = "load"

# What each may grow by in the half that is watched.
_GROWTH = {"memory (MiB)": 24.0, "files": 16.0, "threads": 4.0, "sessions": 4.0}
# SQLite has a cache for each thread that reads, which takes longer than a short run to fill.
SETTINGS = {"threads": 8, "tenant_streams": 4}
_CACHES_MEBIBYTES = 8.0 * SETTINGS["threads"]
_FILLED_MINUTES = 30
# SQLite's file grows beyond a checkpoint's 16 MiB while readers hold it back; PostgreSQL keeps
# up to `max_wal_size` and recycles it.
_LOG = "write-ahead log (MiB)"
_MOST_LOG = {SQLITE: 64.0}
_MOST_LOG_OTHERWISE = 1100.0

READS: tuple[Callable[[Caller, int], Answer], ...] = (
    lambda caller, _: caller.rest("GET", "/customers?pageSize=20&orderBy=lastModifiedDate%20desc"),
    lambda caller, _: caller.rest("GET", "/customers?filter=state%3Ddisabled&pageSize=20"),
    lambda caller, it: caller.rest("GET", f"/customers/search?firstName={_TENANT}-{it}"),
    lambda caller, it: caller.rest("GET", f"/customers/search?email={_TENANT}-{it}@example.com"),
    lambda caller, _: caller.native(lambda it: it.list_page(pb.ListCustomersRequest())),
    lambda caller, _: caller.native(lambda it: list(it.export())),
)


def run(place: Place, plan: Plan) -> Report:
    """Loads the service for the plan's minutes."""
    seconds = plan.minutes * 60
    pids = [it.pid for it in place.service.children()]
    with (
        _reading(place) as reads,
        writing(place, _TENANT, _WRITERS, plan.seed, _PAUSE_SECONDS) as crew,
        following(place, _TENANT) as follower,
    ):
        interval = max(_SHORTEST_SECONDS, seconds / _SAMPLES)
        sampler = Sampler(partial(_measure, place), interval)
        time.sleep(seconds)
        series = sampler.stop()
        ledgers = crew.stop()
        copy = follower.copy()
    faults = [fault for ledger in ledgers for fault in ledger.faults] + follower.faults
    stored = export(place, _TENANT)
    faults += [*differences(ledgers, stored), *place.database.faults()]
    if {it["id"] for it in copy} != {it.id for it in stored}:
        faults.append(f"a copy by changes has {len(copy)} of {len(stored)} customers")
    if [it.pid for it in place.service.children()] != pids:
        faults.append(f"processes were restarted: {place.service.restarts()}")
    faults += [f"{count} reads were {it}" for it, count in reads.items() if it != "OK"]
    most_of = partial(_most, place.database.name, plan.minutes)
    faults += _grown(series, most_of)
    writes = sum((ledger.counts for ledger in ledgers), Counter[str]())["acknowledged"]
    note = f"{writes} writes, {reads.total()} reads, {follower.pages} pages of changes"
    rows = [_row(name, each, most_of(name)) for name, each in series.items()]
    return Report(COLUMNS, rows, faults, f"{note} in {seconds:.0f} s")


def _measure(place: Place) -> dict[str, float]:
    found = measured("supervisor", psutil.Process(place.service.process.pid))
    for number, (_, server) in enumerate(sorted(place.service.servers().items()), 1):
        found |= measured(f"worker {number}", server)
    for name in ENVOYS:
        # It is missed below, should it have ended.
        with suppress(ValueError):
            found |= measured(f"Envoy {name}", place.service.envoy(name))
    found[_LOG] = place.database.log_bytes() / MEBIBYTE
    if processes := place.database.processes():
        found["database: sessions"] = len(processes)
    return found


def _grown(series: dict[str, Series], most_of: Callable[[str], float]) -> list[str]:
    faults = []
    for name, each in series.items():
        most = most_of(name)
        value = max(each.values) if name == _LOG else each.warm.growth
        if value > most:
            faults.append(f"{name} grew to {max(each.values):.0f}, by {each.warm.growth:.1f}")
    return faults


def _most(database: str, minutes: float, name: str) -> float:
    if name == _LOG:
        return _MOST_LOG.get(database, _MOST_LOG_OTHERWISE)
    quantity = name.partition(": ")[2]
    fills = database == SQLITE and minutes < _FILLED_MINUTES and quantity == "memory (MiB)"
    return _GROWTH[quantity] + (_CACHES_MEBIBYTES if fills else 0)


def _row(name: str, series: Series, most: float) -> list[object]:
    warm = series.warm
    return [
        name,
        f"{warm.values[0]:.0f}",
        f"{warm.values[-1]:.0f}",
        f"{max(series.values):.0f}",
        f"{warm.growth:+.1f}",
        f"{warm.slope * 3600:+.1f}",
        f"{most:.0f} in all" if name == _LOG else f"{most:+.0f}",
    ]


@contextmanager
def _reading(place: Place) -> Iterator[Counter[str]]:
    """Reads until the block is over, and counts the answers."""
    statuses: Counter[str] = Counter()
    done = threading.Event()

    def read(seed: int) -> None:
        chance = random.Random(seed)
        with calling(place, _TENANT) as caller:
            for number in itertools.count():
                if done.wait(_PAUSE_SECONDS):
                    return
                statuses[chance.choice(READS)(caller, number).status] += 1

    working = in_background([partial(read, seed) for seed in range(_READERS)])
    try:
        yield statuses
    finally:
        done.set()
        for work in working:
            work.result(2 * SECONDS)
