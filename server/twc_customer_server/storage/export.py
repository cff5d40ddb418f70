"""Exports: their queries, rows, and division into responses."""

from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from typing import NamedTuple

from peewee import Tuple, fn

from twc_customer_server.storage.changes import ChangeStore, Position
from twc_customer_server.storage.database import Database, Reader
from twc_customer_server.storage.schema import Column, CustomerRow
from twc_customer_server.storage.statements import CHUNK_ROWS, Query, parameter

# The size of a response, far below the message limit of gRPC clients.
PART_BYTES = 1024 * 1024


_row = CustomerRow


class Order(Enum):
    """The column that an export goes by; customers with the same value are in the order of ids."""

    ID = "id"
    MODIFIED_AT = "modified_at"
    CHANGE = "change_sequence"


class Place(NamedTuple):
    """The position of an export: the value of its order, and the id, of the last customer sent."""

    value: str | int
    id: str = ""


class Export(NamedTuple):
    """The query of an export: the customers that follow a place, up to a value, in an order."""

    order: Order
    after: Place
    until: str | int
    include_deleted: bool


class Exported(NamedTuple):
    """A row of an export; `deleted_at` is set if the customer is deleted."""

    place: Place
    deleted_at: int | None
    body: bytes


class ExportStore:
    """Exports the customers of every tenant. Every method raises Unavailable if the database is."""

    def __init__(
        self, database: Database, changes: ChangeStore, reads_of_now: Callable[[str], Reader]
    ) -> None:
        """`reads_of_now` returns reads of a tenant that see all that is committed by now."""
        self._database = database
        self._reads_of_now = reads_of_now
        self._changes = changes
        self.statements = {
            (order, include_deleted): database.compile(
                _export(columns, include_deleted=include_deleted)
            )
            for order, columns in _ORDERS.items()
            for include_deleted in (False, True)
        }
        of_tenant = _row.tenant == parameter("tenant")
        self.last_id = database.compile(_row.select(fn.MAX(_row.id)).where(of_tenant))

    def begin(self, tenant: str) -> tuple[Position, str]:
        """Returns the position of changes at which an export begins, and the last of all ids.

        Customers that are created later may have a lower id.
        """
        position = self._changes.settle(tenant)
        [[last_id]] = self._database.rows(self.last_id, {"tenant": tenant})
        return position, last_id or ""

    def read(self, tenant: str, export: Export) -> Iterator[list[Exported]]:
        """Reads an export by keyset pagination, in parts as `parts` divides it."""
        statement = self.statements[export.order, export.include_deleted]
        after = export.after
        # All until the last number, or time, is committed.
        reads = self._reads_of_now(tenant)
        while True:
            place = {"after": after.value, "after_id": after.id, "until": export.until}
            rows = reads.rows(statement, {"tenant": tenant, "limit": CHUNK_ROWS, **place})
            found = [Exported(Place(row[0], row[1]), row[2], row[3]) for row in rows]
            yield from parts(found)
            if len(found) < CHUNK_ROWS:
                return
            after = found[-1].place


def parts(found: Iterable[Exported]) -> Iterator[list[Exported]]:
    """Divides customers into parts of at most PART_BYTES, or one customer that is larger."""
    part: list[Exported] = []
    room = PART_BYTES
    for exported in found:
        if part and len(exported.body) > room:
            yield part
            part, room = [], PART_BYTES
        part.append(exported)
        room -= len(exported.body)
    if part:
        yield part


_ORDERS: dict[Order, tuple[Column, ...]] = {
    Order.ID: (_row.id,),
    Order.MODIFIED_AT: (_row.modified_at, _row.id),
    Order.CHANGE: (_row.change_sequence, _row.id),
}


def _export(order: tuple[Column, ...], *, include_deleted: bool) -> Query:
    column, *ties = order
    follows = column > parameter("after")
    if ties:
        follows = Tuple(*order) > Tuple(parameter("after"), parameter("after_id"))
    query = (
        _row.select(column, _row.id, _row.deleted_at, _row.body)
        .where(_row.tenant == parameter("tenant"), follows, column <= parameter("until"))
        .order_by(*order)
        .limit(parameter("limit"))
    )
    return query if include_deleted else query.where(_row.deleted_at.is_null())
