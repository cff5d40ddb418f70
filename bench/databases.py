"""What a read costs a server on PostgreSQL, against what it costs one on SQLite."""

from contextlib import ExitStack
from pathlib import Path
from statistics import median

from bench.extra import Extra, Measured
from bench.ground import Ground
from bench.progress import Tell
from bench.reads import cpu
from bench.results import Alone
from bench.scenarios import GET
from bench.service import fill, serve
from bench.serving import on_cores

_ROUNDS = 3


class Databases(Extra):
    """Native reads of one server on each database, one after another, on the same core.

    What else runs, PostgreSQL and the load, has the other cores: it is the
    server that is measured.
    """

    name = "databases"
    has_database_process = True

    def measure(self, ground: Ground, folder: Path, tell: Tell) -> Measured:
        """Returns microseconds per request."""
        urls: dict[Alone, str | None] = {Alone.GET_SQLITE: None}
        if ground.postgres:
            urls[Alone.GET_POSTGRES] = ground.postgres.database()
        spent: dict[Alone, list[float]] = {name: [] for name in urls}
        with ExitStack() as stack:
            served = {}
            for name, url in urls.items():
                own = folder / name.name
                own.mkdir()
                settings = ground.settings(data_dir=own / "data", database_url=url)
                fill(settings, ground.customers)
                log = own / "log"
                served[name] = stack.enter_context(on_cores(ground.cores[:1], settings, log, serve))
            for number in range(_ROUNDS):
                tell(f"time {number + 1} of {_ROUNDS}")
                for name, serving in served.items():
                    spent[name].append(cpu(ground, serving, GET, len(ground.customers)))
        return {name: median(each) for name, each in spent.items()}
