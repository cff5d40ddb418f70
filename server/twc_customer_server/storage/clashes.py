"""Finds the live customers that have unique values of others, whether these are stored or not."""

from collections.abc import Sequence

from twc.customer.v2.customer_pb2 import Customer

from twc_customer_server.errors import Clash
from twc_customer_server.storage.database import Database
from twc_customer_server.storage.rows import unique_keys
from twc_customer_server.storage.statements import Statements, look_up


def find(database: Database, sql: Statements, tenant: str, customer: Customer) -> list[Clash]:
    """Returns the unique values of a customer that other live customers have."""
    clashes = []
    for field, value in unique_keys(customer).items():
        if value is not None:
            for (owner,) in database.rows(sql.owner[field], {"tenant": tenant, "value": value}):
                if owner != customer.id:
                    clashes.append(Clash(field, owner))
    return clashes


def find_each(
    database: Database, sql: Statements, tenant: str, customers: Sequence[Customer]
) -> list[list[Clash]]:
    """Returns the clashes of each customer, with itself if it is stored, in few statements."""
    unique = [unique_keys(customer) for customer in customers]
    owners: dict[tuple[str, str | None], str] = {}
    for field, statement in sql.owners.items():
        values = sorted({keys[field] or "" for keys in unique})
        for value, owner in look_up(database, statement, tenant, values):
            owners[field, value] = owner
    return [
        [Clash(item[0], owners[item]) for item in keys.items() if item in owners] for keys in unique
    ]
