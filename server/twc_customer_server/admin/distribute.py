"""Distributes the tables over a Citus cluster, colocated by tenant."""

from twc_customer_server.storage import citus
from twc_customer_server.storage.database import CannotServeError
from twc_customer_server.storage.postgres import Postgres


def distribute_tables(database: Postgres, shards: int) -> list[str]:
    """Distributes the tables that are not distributed yet, with their rows; returns their names.

    Raises CannotServeError if the database is not a coordinator of Citus.
    """
    database.prepare()
    with database.session() as connection:
        if not citus.is_coordinator(connection):
            raise CannotServeError(
                "the database lacks the extension citus: add it to shared_preload_libraries on "
                "every machine, restart them, then CREATE EXTENSION citus in this database on each"
            )
        return citus.distribute(connection, shards)
