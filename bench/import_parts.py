"""The parts of an import in one process: `python -m bench.import_parts BATCHES FOLDER`.

For each encoded batch of a file it parses the request, applies the rules, inserts the rows by
`executemany` into the service's schema, with its durability, and commits. There is no gRPC, token,
response or answer to conflicts: an import of the service can hardly take less. It prints the
seconds that this takes, and the number of customers stored. `bench.load.connection` writes files.
"""

import argparse
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from twc.customer.v2 import customer_service_pb2 as pb

from bench.load.connection import read_requests
from bench.testbed import TENANT
from twc_customer_server.customers.context import ValidationContext
from twc_customer_server.customers.customer import prepare_new, set_server_fields
from twc_customer_server.databases import open_database
from twc_customer_server.settings.model import Settings
from twc_customer_server.storage.database import shut_down_after
from twc_customer_server.storage.rows import new_row
from twc_customer_server.storage.sqlite import PRAGMAS
from twc_customer_server.storage.statements import Statements

# Those of the service, but for its own checkpoints, which SQLite makes here.
_PRAGMAS = {name: PRAGMAS[name] for name in ("synchronous", "cache_size", "secure_delete")}


def _import(connection: sqlite3.Connection, insert: str, batches: Sequence[bytes]) -> int:
    """Stores all customers; returns how many rows were inserted."""
    stored = 0
    for number, batch in enumerate(batches, 1):
        request = pb.ImportCustomersRequest.FromString(batch)
        context = ValidationContext(datetime.now(UTC))
        rows = []
        for item in request.items:
            prepare_new(item.customer, context)
            set_server_fields(item.customer, context.now)
            rows.append(new_row(TENANT, item.customer) | {"change_sequence": number})
        connection.execute("BEGIN IMMEDIATE")
        stored += connection.executemany(insert, rows).rowcount
        connection.execute("COMMIT")
    return stored


def main() -> None:
    """Imports the file of the arguments into a new database."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("batches", type=Path)
    parser.add_argument("folder", type=Path, help="folder of the new database")
    args = parser.parse_args()
    batches = [request.payload for request in read_requests(args.batches)]
    settings = Settings(data_dir=args.folder)
    with shut_down_after(open_database(settings)) as database:
        database.prepare()
        insert = Statements(database).insert
    with closing(sqlite3.connect(settings.database_file, isolation_level=None)) as connection:
        for name, value in _PRAGMAS.items():
            connection.execute(f"PRAGMA {name} = {value}")
        started = time.perf_counter()
        stored = _import(connection, insert, batches)
        print(time.perf_counter() - started, stored)


if __name__ == "__main__":
    main()
