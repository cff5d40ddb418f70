"""Customers as they are exported: JSON Lines, or CSV that no spreadsheet runs."""

import csv
import json
import struct
import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import IO, Any, Self, TextIO

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from twc_customer_client import cells, paths

# The default address is marked among the addresses, all of them their customer's.
_LEFT_OUT = {"default_address", "customer_id"}
_LENGTH = struct.Struct(">I")


def to_json(customer: Customer) -> dict[str, Any]:
    """A customer as the REST routes print it."""
    return json_format.MessageToDict(customer, always_print_fields_with_no_presence=True)


class JsonLinesWriter:
    """Writes each customer as a line of JSON."""

    def __init__(self, target: TextIO) -> None:
        self._target = target

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leaves nothing behind."""

    def write(self, part: pb.ExportCustomersResponse) -> None:
        """Writes customers, and of those that were deleted their ids and times."""
        for customer in part.customers:
            self._line(to_json(customer))
        for gone in part.tombstones:
            self._line({"id": gone.id, "deleted": gone.delete_time.ToJsonString()})

    def finish(self) -> None:
        """Has nothing left to write."""

    def _line(self, value: dict[str, Any]) -> None:
        self._target.write(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")


class TableWriter:
    """Writes customers as CSV, which has as many columns as the one with most addresses needs.

    They wait in a temporary file until that is known.
    """

    def __init__(self, target: TextIO) -> None:
        self._target = target
        self._waiting: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed on exit
        self._addresses = 1
        self._exemptions = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._waiting.close()

    def write(self, part: pb.ExportCustomersResponse) -> None:
        """Keeps customers; a table has no place for those that were deleted."""
        for customer in part.customers:
            self._addresses = max(self._addresses, len(customer.addresses))
            self._exemptions = max(self._exemptions, len(customer.tax_exemptions))
            encoded = customer.SerializeToString()
            self._waiting.write(_LENGTH.pack(len(encoded)) + encoded)

    def finish(self) -> None:
        """Writes the header and all rows."""
        rows = csv.writer(self._target)
        rows.writerow(header(self._addresses, self._exemptions))
        self._waiting.seek(0)
        for customer in _customers(self._waiting):
            rows.writerow(row(customer, self._addresses, self._exemptions))


def header(addresses: int, exemptions: int) -> list[str]:
    """The columns of a table of customers who have at most so many addresses and exemptions."""
    names = []
    for field in paths.CUSTOMER.fields:
        if field.name == "addresses":
            names += [
                f"addresses[{place}].{each.json_name}"
                for place in range(addresses)
                for each in _ADDRESS_FIELDS
            ]
        elif field.name == "tax_exemptions":
            names += [f"{field.json_name}[{place}]" for place in range(exemptions)]
        elif field.name not in _LEFT_OUT:
            names.append(field.json_name)
    return names


def row(customer: Customer, addresses: int, exemptions: int) -> list[str]:
    """A customer as the cells under `header`."""
    texts: list[str] = []
    for field in paths.CUSTOMER.fields:
        if field.name == "addresses":
            for address in customer.addresses:
                texts += [_cell(address, each) for each in _ADDRESS_FIELDS]
            missing = addresses - len(customer.addresses)
            texts += [""] * (missing * len(_ADDRESS_FIELDS))
        elif field.name == "tax_exemptions":
            texts += [cells.guard_present(each) for each in customer.tax_exemptions]
            texts += [""] * (exemptions - len(customer.tax_exemptions))
        elif field.name not in _LEFT_OUT:
            texts.append(_cell(customer, field))
    return texts


_ADDRESS_FIELDS = [
    field for field in paths.ADDRESS.fields if field.name not in _LEFT_OUT - {"default_address"}
]


def _cell(message: Message, field: FieldDescriptor) -> str:
    if paths.map_value(field):
        groups = json_format.MessageToDict(message).get(field.json_name)
        return json.dumps(groups, ensure_ascii=False) if groups else ""
    if not message.HasField(field.name):
        return ""
    value = getattr(message, field.name)
    if isinstance(value, str):
        return cells.guard_present(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if field.enum_type is not None:
        named = field.enum_type.values_by_number.get(value)
        return named.name if named else str(value)
    return str(value.ToJsonString())


def _customers(file: IO[bytes]) -> Iterator[Customer]:
    while length := file.read(_LENGTH.size):
        yield Customer.FromString(file.read(_LENGTH.unpack(length)[0]))
