"""An export: from the service to a file, in parts, and through broken connections."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TextIO

import grpc
from twc.customer.v2 import customer_service_pb2 as pb

from twc_customer_client import progress
from twc_customer_client.connection import Connection
from twc_customer_client.problems import Problem
from twc_customer_client.tables import JsonLinesWriter, TableWriter


class Exported(NamedTuple):
    """How many customers an export has, and the time that the next one begins at."""

    customers: int
    deleted: int
    as_of: str


def run(
    connection: Connection, path: Path | None, form: str, request: pb.ExportCustomersRequest
) -> Exported:
    """Writes an export to a file, which is there only when it is whole. Raises Problem."""
    customers = deleted = 0
    as_of = ""
    writer = TableWriter if form == "csv" else JsonLinesWriter
    with _target(path) as target, writer(target) as rows:
        with progress.shown("exporting", None) as tell:
            for part in _parts(connection, request):
                rows.write(part)
                customers += len(part.customers)
                deleted += len(part.tombstones)
                as_of = part.as_of.ToJsonString()
                tell(customers + deleted, 0)
        rows.finish()
    return Exported(customers, deleted, as_of)


def _parts(
    connection: Connection, request: pb.ExportCustomersRequest
) -> Iterator[pb.ExportCustomersResponse]:
    """The parts of an export; after a break it goes on with what comes after the last."""
    while True:
        try:
            call = connection.stub.ExportCustomers(request, metadata=connection.metadata())
            while part := connection.next_of(call):
                yield part
                request.resume_token = part.resume_token
        except grpc.RpcError as error:
            connection.recover(error)
        else:
            return


@contextmanager
def _target(path: Path | None) -> Iterator[TextIO]:
    """Where an export is written to: a file takes its name when it is whole."""
    if path is None:
        # Lines end as the writers say, also where the system has another habit.
        yield sys.stdout
        sys.stdout.flush()
        return
    part = path.with_name(path.name + ".part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise Problem(f"{path} cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)
