"""What a request costs when there are many customers, against what it costs when there are few."""

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from statistics import median

from twc.customer.v2.customer_pb2 import Customer

from bench.documents import customer_id, email
from bench.extra import Extra, Measured
from bench.ground import TENANT, Ground
from bench.progress import Tell
from bench.reads import cpu
from bench.results import Alone
from bench.scenarios import GET, LOOKUP
from bench.service import serve
from bench.serving import on_cores
from twc_customer_server.app import open_sqlite
from twc_customer_server.settings import Settings
from twc_customer_server.storage.database import shut_down_after
from twc_customer_server.storage.store import CustomerStore

# What a customer takes on disk with its keys, and as much again for what is not merged yet.
_BYTES = 6_000
_BATCH = 2_000
_MODELS = 1_000
_ROUNDS = 3

_NAMES = {GET: (Alone.GET_FEW, Alone.GET_MANY), LOOKUP: (Alone.LOOKUP_FEW, Alone.LOOKUP_MANY)}


class Growth(Extra):
    """Native reads from a small and from a large SQLite file, one after another."""

    name = "growth"
    is_long = True

    def missing(self, ground: Ground) -> str:
        """Says if it takes too long, or the disk has no room."""
        if not ground.plan.grown:
            return "left out of a quick benchmark"
        needed = ground.plan.grown * _BYTES
        free = shutil.disk_usage(ground.folder).free
        if free < needed:
            return f"it needs {needed / 1e9:.0f} GB of disk, and {free / 1e9:.0f} GB are free"
        return ""

    def measure(self, ground: Ground, folder: Path, tell: Tell) -> Measured:
        """Returns microseconds per request of each size and scenario."""
        sizes = (ground.plan.customers, ground.plan.grown)
        spent: dict[Alone, list[float]] = {name: [] for name in chain(*_NAMES.values())}
        with ExitStack() as stack:
            served = []
            for size in sizes:
                settings = ground.settings(data_dir=folder / f"{size}")
                _fill(settings, ground, size, tell)
                log = folder / f"{size}.log"
                served.append(stack.enter_context(on_cores(ground.cores, settings, log, serve)))
            for _ in range(_ROUNDS):
                for scenario, names in _NAMES.items():
                    for name, serving, size in zip(names, served, sizes, strict=True):
                        spent[name].append(cpu(ground, serving, scenario, size))
        return {name: median(each) for name, each in spent.items()}


def _fill(settings: Settings, ground: Ground, size: int, tell: Tell) -> None:
    """Stores customers who are alike but for what they are found by."""
    models = ground.customers[:_MODELS]
    with shut_down_after(open_sqlite(settings)) as database:
        database.prepare()
        store = CustomerStore(database)
        for begin in range(0, size, _BATCH):
            numbers = range(begin, min(begin + _BATCH, size))
            store.insert_each(TENANT, [_like(models, number) for number in numbers])
            tell(f"{numbers.stop:,} of {size:,} customers stored")


def _like(models: Sequence[Customer], number: int) -> Customer:
    customer = Customer()
    customer.CopyFrom(models[number % len(models)])
    customer.id = customer_id(number)
    customer.customer_ref = f"R-{number:08}"
    customer.email = email(number)
    customer.mobile = f"+49151{10_000_000 + number}"
    customer.phone = f"+4930{10_000_000 + number}"
    return customer
