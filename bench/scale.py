"""Measures the service as its database grows: `make scale ROWS=1000000`, with DATABASE=postgresql.

Customers come by the service's own import. At ten thousand of them, and whenever there
are ten times as many, it reads, writes, exports, deletes, purges, and migrates while others
write. It prints a table; WRITE=1 writes it into docs/databases.md.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import grpc
import psycopg
from google.protobuf.message import Message
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2 import customer_service_pb2_grpc

from bench import scale_table
from bench.bulk import batches
from bench.dataset import FIRST_NEW, email
from bench.errors import BenchError
from bench.load.connection import Request
from bench.load.run import LoadProfile, LoadSummary, Protocol, run_load
from bench.machine import describe_machine
from bench.migrations import Migrated, downgrade, measure_migrations, undone_migrations
from bench.postgres import running_postgres
from bench.processes import HOST, RunningServers, resource_usage, servers_on_cores
from bench.results import percentile
from bench.scenarios import SERVICE_PATH
from bench.services import server_command
from bench.testbed import FULL, TENANT, Testbed, unset_service_settings
from twc_customer_gateway.settings import GatewaySettings
from twc_customer_server.databases import open_database
from twc_customer_server.storage.database import shut_down_after
from twc_customer_server.storage.retention import RetentionPurge
from twc_customer_server.storage.stores import Stores

_SMALLEST = 10_000
_FACTOR = 10

# Reads and writes of each kind, after as many that warm up.
_CALLS = 2_000
_DELETED = 1_000
# The part of a large database that is exported.
_MOST_EXPORTED = 1_000_000
_IMPORT_SECONDS = 6 * 60 * 60
_EXPORT_SECONDS = 60 * 60
_CONNECTIONS, _STREAMS = 2, 2
_ANY_SIZE = (0, 1 << 20)
_SAY_SECONDS = 10
# Of disk for each customer, with what a migration takes besides: PostgreSQL writes rows anew.
_BYTES = {"sqlite": 4_500, "postgresql": 6_500}


class Cost(NamedTuple):
    """A kind of call: its median and 99th percentile, and the CPU of server and database."""

    p50_ms: float
    p99_ms: float
    server_us: float
    database_us: float

    def __str__(self) -> str:
        cpu = f"{self.server_us:,.0f}"
        if self.database_us:
            cpu += f" + {self.database_us:,.0f}"
        return f"{self.p50_ms:.2f}, {self.p99_ms:.1f} ms; {cpu} µs"


class _Progress:
    """Says how far it is: on one line of a terminal, else on a new line from time to time."""

    def __init__(self) -> None:
        self._said_at = -float("inf")

    def __call__(self, step: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[K{step}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - self._said_at > _SAY_SECONDS:
            self._said_at = time.monotonic()
            print(step, file=sys.stderr, flush=True)


_say = _Progress()


class Scale:
    """A service whose database grows, and the measurements at one size of it."""

    def __init__(
        self, testbed: Testbed, servers: RunningServers, settings: GatewaySettings
    ) -> None:
        self._testbed = testbed
        self._servers = servers
        self._settings = settings
        self._postgres = testbed.postgres
        self._metadata = tuple(testbed.credentials.items())
        channel = grpc.insecure_channel(f"{HOST}:{servers.ports[0]}")
        self._import: Any = channel.stream_stream(SERVICE_PATH + "ImportCustomers")
        self._stub: Any = customer_service_pb2_grpc.CustomerServiceStub(channel)
        self._customers = 0
        self._created = 0

    def measure(self, size: int) -> Iterator[tuple[str, str]]:
        """Lets the database grow to a size, and yields the title and value of each figure."""
        # Of those before, some were deleted.
        imported = range(self._customers, size)
        yield "import, customers/s", f"{self._grow(size):,.0f}"
        numbers = Random(size).sample(imported, min(len(imported), 2 * _CALLS))
        found = [self._find(number) for number in numbers]
        gets = [pb.GetCustomerRequest(id=each.id) for each in found]
        lookups = [pb.LookupCustomersRequest(email=each.email) for each in found]
        yield "get", str(self._calls("GetCustomer", gets))
        yield "look-up by e-mail", str(self._calls("LookupCustomers", lookups))
        yield "create", str(self._calls("CreateCustomer", self._creates(2 * _CALLS)))
        yield "update", str(self._calls("UpdateCustomer", self._updates(found)))
        yield "page of 100, newest first", str(self._calls("ListCustomers", self._pages()))
        yield "export, customers/s", f"{self._export():,.0f}"
        deletes = [pb.DeleteCustomerRequest(id=each.id) for each in found[:_DELETED]]
        yield "delete", str(self._calls("DeleteCustomer", deletes))
        yield "purge, customers/s", f"{self._purge():,.0f}"
        yield "bytes per customer", f"{self._bytes() / self._customers:,.0f}"
        migrated = self._migrate()
        newest = [name.partition("_")[0] for name in undone_migrations()]
        yield f"migrations {newest[0]} to {newest[-1]}", f"{migrated.seconds:,.1f} s"
        yield "longest create meanwhile", f"{migrated.longest_write:,.2f} s"

    def _grow(self, size: int) -> float:
        """Imports customers up to a size; returns how many a second."""
        count = size - self._customers
        started = time.perf_counter()
        imported = 0
        encoded = batches(self._testbed, self._customers, size)
        for answer in self._import(encoded, timeout=_IMPORT_SECONDS, metadata=self._metadata):
            response = pb.ImportCustomersResponse.FromString(answer)
            imported += sum(1 for it in response.results if it.WhichOneof("outcome") == "created")
            minutes = (count - imported) * (time.perf_counter() - started) / imported / 60
            done = f"{self._customers + imported:,} of {size:,} customers imported"
            _say(f"{done}, {minutes:,.0f} minutes left")
        if imported != count:
            sys.exit(f"only {imported:,} of {count:,} customers were imported")
        self._customers = size
        return count / (time.perf_counter() - started)

    def _find(self, number: int) -> Any:
        request = pb.LookupCustomersRequest(email=email(number))
        [found] = self._stub.LookupCustomers(request, metadata=self._metadata)
        return found

    def _creates(self, count: int) -> list[Message]:
        first = FIRST_NEW + self._created
        self._created += count
        self._customers += count
        make = self._testbed.dataset.request
        return [pb.CreateCustomerRequest(customer=make(first + it)) for it in range(count)]

    def _updates(self, found: Sequence[Any]) -> list[Message]:
        for number, each in enumerate(found):
            each.last_name = f"Changed {number}"
            each.ClearField("last_modified_date")
        return [pb.UpdateCustomerRequest(customer=each) for each in found]

    @staticmethod
    def _pages() -> list[Message]:
        return [pb.ListCustomersRequest(page_size=100, order_by="createdDate desc")] * 200

    def _calls(self, rpc: str, messages: Sequence[Message]) -> Cost:
        """Makes calls, half of which warm up."""
        _say(rpc)
        requests = [Request(message.SerializeToString(), b"") for message in messages]
        middle = len(requests) // 2
        self._load(rpc, requests[:middle])
        before = self._cpu()
        load = self._load(rpc, requests[middle:])
        server, database = (
            (after - was) * 1e6 / load.requests
            for was, after in zip(before, self._cpu(), strict=True)
        )
        p50, p99 = (percentile(load.latencies_us, each) / 1e3 for each in (50, 99))
        return Cost(p50, p99, server, database)

    def _load(self, rpc: str, requests: Sequence[Request]) -> LoadSummary:
        protocol = Protocol(SERVICE_PATH + rpc, self._testbed.credentials)
        profile = LoadProfile(_CONNECTIONS, _ANY_SIZE, _STREAMS)
        return run_load(self._testbed.folder, self._servers.ports, protocol, profile, requests)

    def _cpu(self) -> tuple[float, float]:
        pids = [self._postgres.pid] if self._postgres else []
        return resource_usage(self._servers.pids).cpu_seconds, resource_usage(pids).cpu_seconds

    def _export(self) -> float:
        _say("export")
        started = time.perf_counter()
        stream = self._stub.ExportCustomers(
            pb.ExportCustomersRequest(), timeout=_EXPORT_SECONDS, metadata=self._metadata
        )
        count = 0
        for response in stream:
            count += len(response.customers)
            if count >= _MOST_EXPORTED:
                stream.cancel()
                break
        return count / (time.perf_counter() - started)

    def _purge(self) -> float:
        """Erases what was deleted; returns how many customers a second."""
        _say("purge")
        with shut_down_after(open_database(self._settings)) as database:
            database.prepare()
            purge = RetentionPurge(Stores.of(database).deletions, 1e-9)
            since, count, started = purge.due_since(TENANT), 0, time.perf_counter()
            while since is not None:
                purged, since = purge.purge_batch(TENANT, since, round(time.time() * 1000))
                count += purged
        return count / (time.perf_counter() - started)

    def _migrate(self) -> Migrated:
        _say("downgrade, so that migrations can be measured")
        downgrade(self._settings)

        def create() -> None:
            [request] = self._creates(1)
            self._stub.CreateCustomer(request, metadata=self._metadata)

        return measure_migrations(
            self._settings,
            self._testbed.folder / "migrate.log",
            create,
            lambda seconds: _say(f"migrations, for {seconds:,.0f} s"),
        )

    def _bytes(self) -> int:
        if self._settings.database_url:
            with psycopg.connect(self._settings.database_url) as connection:
                query = "SELECT pg_total_relation_size('customer')"
                [size] = connection.execute(query).fetchone() or (0,)
                return int(size)
        return sum(it.stat().st_size for it in self._settings.data_dir.glob("*.db*"))


def main() -> None:
    """Measures at each size, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--database", choices=scale_table.DATABASES, default="sqlite")
    parser.add_argument("--write", action="store_true", help="write the table into the docs")
    args = parser.parse_args()
    unset_service_settings()
    measured = [*sizes(args.rows)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="twc-scale-")))
        _require_room(folder, args.rows * _BYTES[args.database])
        is_postgres = args.database == "postgresql"
        postgres = stack.enter_context(running_postgres()) if is_postgres else None
        testbed = Testbed(folder, FULL, postgres)
        scale = stack.enter_context(_running(testbed))
        columns = [*_columns(scale, measured)]
        facts = describe_machine(testbed)
    table = scale_table.table(measured, columns, facts)
    print(table)
    if args.write:
        scale_table.write(scale_table.DOCUMENT, args.database, table)


def sizes(rows: int) -> Iterator[int]:
    """Yields the sizes to measure at, the last of which is the given one."""
    size = _SMALLEST
    while size < rows:
        yield size
        size *= _FACTOR
    yield rows


def _columns(scale: Scale, sizes: Sequence[int]) -> Iterator[dict[str, str]]:
    """Measures at each size, and says how long that took and the next one will take."""
    for size, after in zip(sizes, [*sizes[1:], 0], strict=True):
        started = time.monotonic()
        figures: dict[str, str] = {}
        for title, value in scale.measure(size):
            figures[title] = value
            # So that whoever ends it early has these.
            print(f"{size:,} customers: {title}: {value}", file=sys.stderr, flush=True)
        yield figures
        minutes = (time.monotonic() - started) / 60
        told = f"{size:,} customers are measured, in {minutes:,.1f} minutes"
        if after:
            told += f"; {after:,} take {minutes * after / size:,.0f} at most"
        print(told, file=sys.stderr, flush=True)


def _require_room(folder: Path, needed: int) -> None:
    """Exits unless a disk has room for so many bytes."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        sys.exit(
            f"{folder} has {free / 1e9:,.0f} GB, and {needed / 1e9:,.0f} are needed: set TMPDIR"
        )


@contextmanager
def _running(testbed: Testbed) -> Iterator[Scale]:
    """Runs a server on the first core; PostgreSQL and the load may use the others."""
    url = testbed.postgres.create_database() if testbed.postgres else None
    settings = testbed.settings(data_dir=testbed.folder / "data", database_url=url)
    log = testbed.folder / "log"
    with servers_on_cores(testbed.cores[:1], settings, log, server_command) as servers:
        yield Scale(testbed, servers, settings)


if __name__ == "__main__":
    try:
        main()
    except BenchError as error:
        sys.exit(str(error))
