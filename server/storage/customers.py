"""Customers in the database: stored, read, searched, changed and deleted, by tenant."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Self

import peewee
from twc.customer.v2.customer_pb2 import Customer

from server.errors import AlreadyExists, Clash, IdMismatch, NotFound
from server.rules import keys
from server.storage.database import Database
from server.storage.statements import Statements

# What a page may have before it ends early, and the rows that are read at a
# time: one more than the page that is asked for by default.
PAGE_BYTES = 4 * 1024 * 1024
CHUNK = 101


class Key(NamedTuple):
    """What one customer is found by: the JSON name of a field, and its value."""

    field: str
    value: str

    @classmethod
    def id(cls, value: str) -> Self:
        """Finds the customer with an id."""
        return cls("id", value)

    @classmethod
    def ref(cls, value: str) -> Self:
        """Finds the customer with a customerRef."""
        return cls("customerRef", value)


class Found(NamedTuple):
    """A customer that a search found: its id, and the whole of it as bytes."""

    id: str
    body: bytes


class Page(NamedTuple):
    """Customers that a search found, and whether there are more after the last of them."""

    found: list[Found]
    has_more: bool


class CustomerStore:
    """The live customers of every tenant. Every call raises Unavailable if the database is."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = Statements(database)

    def get(self, tenant: str, key: Key) -> bytes | None:
        """Returns the encoded Customer that a key finds, or None."""
        rows = self._database.rows(self._sql.body_by[key.field], (tenant, _exact(key)))
        return rows[0][0] if rows else None

    def search(self, tenant: str, wanted: Mapping[str, str], after: str, limit: int) -> list[Found]:
        """Returns customers with all wanted keys, in the order of ids from after `after`."""
        parameters = (tenant, *wanted.values(), after, limit)
        return [Found(*row) for row in self._database.rows(self._sql.search(wanted), parameters)]

    def page(self, tenant: str, wanted: Mapping[str, str], after: str, size: int) -> Page:
        """Searches for a page of at most `size` customers, and about PAGE_BYTES."""
        found: list[Found] = []
        room = PAGE_BYTES
        while True:
            limit = min(CHUNK, size + 1 - len(found))
            rows = self.search(tenant, wanted, found[-1].id if found else after, limit)
            for row in rows:
                if len(found) == size or room < 0:
                    return Page(found, has_more=True)
                found.append(row)
                room -= len(row.body)
            if len(rows) < limit:
                return Page(found, has_more=False)

    def clashes(self, tenant: str, customer: Customer) -> list[Clash]:
        """Returns what other live customers already have of a customer's unique values."""
        clashes = []
        for field, value in _unique_keys(customer).items():
            if value is not None:
                for (owner,) in self._database.rows(self._sql.owner[field], (tenant, value)):
                    if owner != customer.id:
                        clashes.append(Clash(field, owner))
        return clashes

    def insert(self, tenant: str, customer: Customer) -> None:
        """Stores a new customer. Raises AlreadyExists."""
        self._database.write(lambda: self._insert(tenant, customer))

    def insert_each(self, tenant: str, customers: Iterable[Customer]) -> list[AlreadyExists | None]:
        """Stores new customers in one transaction; returns what kept each out, or None."""
        return self._database.write(
            lambda: [self._insert_or_say(tenant, customer) for customer in customers]
        )

    def change(self, tenant: str, key: Key, edit: Callable[[Customer], None]) -> Customer:
        """Lets `edit` change the customer that a key finds, and returns it as stored.

        No other write comes between reading and storing. Raises NotFound,
        AlreadyExists, and what `edit` raises; then nothing is changed.
        """

        def unit() -> Customer:
            body = self.get(tenant, key)
            if body is None:
                raise NotFound(key.field)
            customer = Customer.FromString(body)
            edit(customer)
            self._update(tenant, customer)
            return customer

        return self._database.write(unit)

    def delete(self, tenant: str, key: Key, now: int, only_id: str | None = None) -> None:
        """Marks the customer that a key finds, if there is one, as deleted at a time.

        `now` is in milliseconds since the Unix epoch. Raises IdMismatch if
        `only_id` is given and is not its id.
        """

        def unit() -> None:
            for (customer_id,) in self._database.rows(
                self._sql.id_by[key.field], (tenant, _exact(key))
            ):
                if only_id is not None and only_id != customer_id:
                    raise IdMismatch(f"the customer with this {key.field} has another id")
                self._database.execute_sql(self._sql.delete, (now, tenant, customer_id))

        self._database.write(unit)

    def _insert_or_say(self, tenant: str, customer: Customer) -> AlreadyExists | None:
        try:
            with self._database.savepoint():
                self._insert(tenant, customer)
        except AlreadyExists as clash:
            return clash
        return None

    def _insert(self, tenant: str, customer: Customer) -> None:
        created = customer.created_date.ToMilliseconds()
        parameters = (tenant, customer.id, *_keys(customer), created, *_content(customer))
        self._store(tenant, customer, self._sql.insert, parameters)

    def _update(self, tenant: str, customer: Customer) -> None:
        parameters = (*_keys(customer), *_content(customer), tenant, customer.id)
        self._store(tenant, customer, self._sql.update, parameters)

    def _store(
        self, tenant: str, customer: Customer, sql: str, parameters: tuple[Any, ...]
    ) -> None:
        """Runs a statement whose unique indexes decide; on a clash finds out whose values."""
        try:
            self._database.execute_sql(sql, parameters)
        except peewee.IntegrityError as error:
            clashes = self.clashes(tenant, customer)
            if not clashes:
                raise
            raise AlreadyExists(clashes) from error


def _exact(key: Key) -> str:
    return keys.exact_key(key.value)


def _unique_keys(customer: Customer) -> dict[str, str | None]:
    """The unique keys by the JSON names of their fields, as `schema.UNIQUE` lists them."""
    return {
        "email": keys.exact_key(keys.email_key(customer.email)),
        "mobile": customer.mobile or None,
        "phone": customer.phone or None,
        "customerRef": keys.exact_key(customer.customer_ref) or None,
    }


def _keys(customer: Customer) -> tuple[str | None, ...]:
    """The values of the key columns, in the order of their declaration."""
    unique = _unique_keys(customer)
    return (
        unique["customerRef"],
        unique["email"],
        unique["mobile"],
        unique["phone"],
        keys.name_key(customer.first_name) or None,
        keys.name_key(customer.last_name) or None,
    )


def _content(customer: Customer) -> tuple[int, bytes]:
    return customer.last_modified_date.ToMilliseconds(), customer.SerializeToString()
