"""Exports customers to JSON Lines or CSV, and resumes when the connection breaks."""

import csv
import json
import struct
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self, TextIO

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from twc_customer_client.files import sync_to_disk, unwritable
from twc_customer_client.formats.columns import EXPORT_COLUMN, CellKind, kind_of_field
from twc_customer_client.formats.csv_cells import protect
from twc_customer_client.formats.customer_json import format_customer
from twc_customer_client.formats.field_paths import ADDRESS, CUSTOMER
from twc_customer_client.progress import show_progress
from twc_customer_client.sync.client import CustomerClient
from twc_customer_client.waiting import Waiting

# Each address states whether it is the default one, and belongs to its customer. No customer
# that is exported was merged into another one.
_OMITTED = {"default_address", "customer_id", "merged_into"}
_ADDRESS_FIELDS = [field for field in ADDRESS.fields if field.name != "customer_id"]
_LENGTH = struct.Struct(">I")

# As much of a file's name as goes into that of its temporary one, which has a limit in bytes.
_NAME_LENGTH = 40

# In each row, since spreadsheets leave out empty cells at the end of one.
_EXPORT_MARK = "1"


class ExportSummary(NamedTuple):
    """The numbers of customers and tombstones, and the cursor for the next export's `--since`."""

    customers: int
    deleted: int
    next_cursor: str


def export_file(
    client: CustomerClient,
    path: Path | None,
    file_format: str,
    request: pb.ExportCustomersRequest,
    waiting: Waiting,
) -> ExportSummary:
    """Writes an export to a file, which it replaces when complete, or to standard output.

    Raises CommandError and CustomerError.
    """
    customers = deleted = 0
    next_cursor = ""
    writer_type = CsvWriter if file_format == "csv" else JsonLinesWriter
    with _open_output(path) as output, writer_type(output) as writer:
        with show_progress("exporting", None, waiting, prints=path is None) as update:
            for response in client.export_parts(request):
                writer.write(response)
                customers += len(response.customers)
                deleted += len(response.tombstones)
                next_cursor = response.next_cursor
                update(customers + deleted, 0)
        writer.finish()
    return ExportSummary(customers, deleted, next_cursor)


class JsonLinesWriter:
    """Writes customers and tombstones as lines of JSON."""

    def __init__(self, output: TextIO) -> None:
        self._output = output

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Has nothing to close."""

    def write(self, response: pb.ExportCustomersResponse) -> None:
        """Writes the customers, then the tombstones, of a response."""
        for customer in response.customers:
            self._write_line(format_customer(customer))
        for tombstone in response.tombstones:
            line = {"id": tombstone.id, "deleted": tombstone.delete_time.ToJsonString()}
            if tombstone.merged_into:
                line["mergedInto"] = tombstone.merged_into
            self._write_line(line)

    def finish(self) -> None:
        """Has nothing left to write."""

    def _write_line(self, value: dict[str, Any]) -> None:
        self._output.write(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")


class CsvWriter:
    """Writes customers as CSV, with as many columns as the one with most addresses needs.

    Buffers the customers in a temporary file until that number is known.
    """

    def __init__(self, output: TextIO) -> None:
        self._output = output
        self._buffer: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed on exit
        self._addresses = 1
        self._tax_exemptions = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._buffer.close()

    def write(self, response: pb.ExportCustomersResponse) -> None:
        """Buffers the customers of a response; CSV has no tombstones."""
        for customer in response.customers:
            self._addresses = max(self._addresses, len(customer.addresses))
            self._tax_exemptions = max(self._tax_exemptions, len(customer.tax_exemptions))
            encoded = customer.SerializeToString()
            self._buffer.write(_LENGTH.pack(len(encoded)) + encoded)

    def finish(self) -> None:
        """Writes the header and all rows."""
        rows = csv.writer(self._output)
        rows.writerow(csv_header(self._addresses, self._tax_exemptions))
        self._buffer.seek(0)
        for customer in _read_buffered(self._buffer):
            rows.writerow(_csv_row(customer, self._addresses, self._tax_exemptions))


def csv_header(addresses: int, tax_exemptions: int) -> list[str]:
    """Returns the columns for customers with up to these numbers of addresses and exemptions."""
    names = []
    for field in CUSTOMER.fields:
        if field.name == "addresses":
            names += [
                f"addresses[{index}].{each.json_name}"
                for index in range(addresses)
                for each in _ADDRESS_FIELDS
            ]
        elif field.name == "tax_exemptions":
            names += [f"{field.json_name}[{index}]" for index in range(tax_exemptions)]
        elif field.name not in _OMITTED:
            names.append(field.json_name)
    return [*names, EXPORT_COLUMN]


def _csv_row(customer: Customer, addresses: int, tax_exemptions: int) -> list[str]:
    cells: list[str] = []
    for field in CUSTOMER.fields:
        if field.name == "addresses":
            for address in customer.addresses:
                cells += [_csv_cell(address, each) for each in _ADDRESS_FIELDS]
            missing = addresses - len(customer.addresses)
            cells += [""] * (missing * len(_ADDRESS_FIELDS))
        elif field.name == "tax_exemptions":
            cells += [protect(each) for each in customer.tax_exemptions]
            cells += [""] * (tax_exemptions - len(customer.tax_exemptions))
        elif field.name not in _OMITTED:
            cells.append(_csv_cell(customer, field))
    return [*cells, _EXPORT_MARK]


def _csv_cell(message: Message, field: FieldDescriptor) -> str:
    if not _has_value(message, field):
        return ""
    value = getattr(message, field.name)
    match kind_of_field(field):
        case CellKind.JSON:
            members = json_format.MessageToDict(message)[field.json_name]
            return json.dumps(members, ensure_ascii=False)
        case CellKind.BOOL:
            return json.dumps(value)
        case CellKind.NUMBER:
            # As a number it would get a decimal comma where its user has one.
            return protect(json.dumps(value))
        case CellKind.TEXT:
            return _text_cell(value, field)


def _text_cell(value: Any, field: FieldDescriptor) -> str:
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known else str(value)
    return protect(value) if isinstance(value, str) else str(value.ToJsonString())


def _has_value(message: Message, field: FieldDescriptor) -> bool:
    if field.is_repeated:
        return bool(getattr(message, field.name))
    return message.HasField(field.name)


def _read_buffered(buffer: IO[bytes]) -> Iterator[Customer]:
    while length := buffer.read(_LENGTH.size):
        yield Customer.FromString(buffer.read(_LENGTH.unpack(length)[0]))


@contextmanager
def _open_output(path: Path | None) -> Iterator[TextIO]:
    """Opens a temporary file that takes its name when complete, or standard output."""
    if path is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    try:
        with _replacing(path) as file:
            yield file
    except OSError as error:
        raise unwritable(path, error) from None


@contextmanager
def _replacing(path: Path) -> Iterator[TextIO]:
    """Opens a file beside another, which it replaces when complete. Raises OSError."""
    # Of its own, as another process may export to the same file. Its user alone may read it.
    number, name = tempfile.mkstemp(".part", f"{path.name[:_NAME_LENGTH]}.", path.parent)
    part = Path(name)
    try:
        # The writers end lines themselves, on every system alike.
        with open(number, "w", encoding="utf-8", newline="") as file:  # noqa: PTH123 - a number
            yield file
            sync_to_disk(file)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
