"""Reads and searches the customers of every tenant."""

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from typing import NamedTuple

from twc.customer.v2.customer_pb2 import Customer

from twc_customer_server.storage.database import Database, Reader
from twc_customer_server.storage.lists import Lists
from twc_customer_server.storage.rows import Key
from twc_customer_server.storage.statements import CHUNK_ROWS, Statements, look_up

# A page ends early beyond this size.
MAX_PAGE_BYTES = 4 * 1024 * 1024


class Found(NamedTuple):
    """A customer that a search found: its id, and its encoding."""

    id: str
    body: bytes


class Page(NamedTuple):
    """A page of a search, and whether another follows it."""

    found: list[Found]
    has_more: bool


class CustomerReads(Lists):
    """The live customers of every tenant. Every method raises Unavailable if the database is."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._sql = Statements(database)

    def reading(self, reader: Reader) -> "CustomerReads":
        """Returns the same reads, with the same statements, by another reader."""
        reads = copy(self)
        reads._database = reader  # noqa: SLF001 - of the same class
        return reads

    def get_by_id(self, tenant: str, customer_id: str) -> bytes | None:
        """Returns the encoded customer with an id, or None."""
        parameters = {"tenant": tenant, "value": customer_id}
        rows = self._database.rows(self._sql.body_by["id"], parameters)
        return rows[0][0] if rows else None

    def get(self, tenant: str, key: Key) -> bytes | None:
        """Returns the encoded customer that a key selects, or None."""
        parameters = {"tenant": tenant, "value": key.exact}
        rows = self._database.rows(self._sql.body_by[key.field], parameters)
        return rows[0][0] if rows else None

    def get_each(self, tenant: str, ids: Sequence[str]) -> Iterator[tuple[str, Customer]]:
        """Yields the customers with some ids, in few statements."""
        for customer_id, body in look_up(self._database, self._sql.bodies, tenant, ids):
            yield customer_id, Customer.FromString(body)

    def search(self, tenant: str, wanted: Mapping[str, str], after: str, limit: int) -> list[Found]:
        """Returns customers with all wanted keys, by id, from after the id `after`."""
        parameters: dict[str, object] = {"tenant": tenant, "after_id": after, "limit": limit}
        parameters |= self._sql.search_parameters(wanted)
        return [Found(*row) for row in self._database.rows(self._sql.search(wanted), parameters)]

    def page(self, tenant: str, wanted: Mapping[str, str], after: str, size: int) -> Page:
        """Searches for a page of at most `size` customers and about MAX_PAGE_BYTES."""
        found: list[Found] = []
        room = MAX_PAGE_BYTES
        while True:
            limit = min(CHUNK_ROWS, size + 1 - len(found))
            rows = self.search(tenant, wanted, found[-1].id if found else after, limit)
            for row in rows:
                if len(found) == size or room < 0:
                    return Page(found, has_more=True)
                found.append(row)
                room -= len(row.body)
            if len(rows) < limit:
                return Page(found, has_more=False)
