"""Finds all that is held of a person: customers, live, deleted or erased, and kept answers."""

from typing import NamedTuple

from twc_customer_server.storage.answers import KeptAnswer, KeptAnswers
from twc_customer_server.storage.database import Database
from twc_customer_server.storage.rows import Key
from twc_customer_server.storage.schema import UNIQUE, Column, CustomerRow
from twc_customer_server.storage.statements import Query, is_only, parameter

_row = CustomerRow


class HeldCustomer(NamedTuple):
    """A customer, of which an erased one has no body; times in milliseconds since the epoch."""

    id: str
    deleted_at: int | None
    erased_at: int | None
    body: bytes


class AccessStore:
    """All customers of every tenant. Every method raises Unavailable if the database is."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._answers = KeptAnswers(database)
        self._by_id = database.compile(_held(_row.id))
        # Each part has an index of its own.
        is_deleted = _row.deleted_at.is_null(is_null=False) & _row.erased_at.is_null()
        self._by_key = {
            field: [
                database.compile(_held(column).where(condition))
                for condition in (_row.deleted_at.is_null(), is_deleted)
            ]
            for field, column in UNIQUE.items()
        }

    def find(self, tenant: str, key: Key) -> list[HeldCustomer]:
        """Returns the customers that have a key, of a unique field, or had it when deleted."""
        statements = [self._by_id] if key.field == "id" else self._by_key[key.field]
        parameters = {"tenant": tenant, "value": key.exact}
        return [
            HeldCustomer(*row)
            for statement in statements
            for row in self._database.rows(statement, parameters)
        ]

    def answers(self, tenant: str, customer_id: str) -> list[KeptAnswer]:
        """Returns the kept answers that have a customer."""
        return self._answers.find(tenant, customer_id)


def _held(column: Column) -> Query:
    query = _row.select(_row.id, _row.deleted_at, _row.erased_at, _row.body)
    one = is_only(column, parameter("value"))
    return query.where(_row.tenant == parameter("tenant"), one).order_by(column)
