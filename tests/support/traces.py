"""Customers whose every text is a mark, and what a database holds of the mark."""

from typing import Any

from google.protobuf.message import Message
from twc.customer.v2.customer_pb2 import Customer

from tests.support.stores import stamped
from twc_customer_server.storage.database import Database
from twc_customer_server.storage.schema import TABLES

# Fields that the server sets, and that remain or say nothing of a person.
_OF_SERVER = {"id", "customer_id"}


def marked(mark: str) -> Customer:
    """A customer with ids and dates, in which every other text has a mark; no rule holds for it."""
    customer = Customer()
    _fill(customer, mark)
    # Unique values differ.
    for field in ("email", "mobile", "phone", "customer_ref", "alternate_customer_ref"):
        setattr(customer, field, f"{mark}-{field}")
    return stamped(**{field.name: value for field, value in customer.ListFields()})


def rows_with(database: Database, mark: str) -> list[str]:
    """The rows of all tables that have a mark, in whatever column, in any case."""
    found = []
    for table in TABLES:
        for row in database.rows(database.compile(table.select()), {}):
            text = repr(tuple(bytes(it) if isinstance(it, memoryview) else it for it in row))
            if mark.lower() in text.lower():
                found.append(text)
    return found


def _fill(message: Message, mark: str) -> None:
    """Gives each text of a message, and of those in it, a value with a mark."""
    for field in message.DESCRIPTOR.fields:
        entry = field.message_type
        value: Any = getattr(message, field.name)
        if entry and entry.GetOptions().map_entry:
            item = value[f"{mark}-{field.name}"]
            if isinstance(item, Message):
                _fill(item, mark)
        elif entry and entry.full_name.startswith("twc."):
            _fill(value.add() if field.is_repeated else value, mark)
            if not field.is_repeated:
                value.SetInParent()
        elif field.type == field.TYPE_STRING and field.name not in _OF_SERVER:
            if field.is_repeated:
                value.append(f"{mark}-{field.name}")
            else:
                setattr(message, field.name, f"{mark}-{field.name}")
