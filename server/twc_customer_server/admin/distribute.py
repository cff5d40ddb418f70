"""Distributes the tables over a Citus cluster, colocated by tenant."""

from twc_customer_server.storage.database import CannotServeError
from twc_customer_server.storage.postgres import Postgres
from twc_customer_server.storage.postgres_pool import Connection
from twc_customer_server.storage.schema import TABLES

_COLUMN = "tenant"


def distribute_tables(database: Postgres, shards: int) -> list[str]:
    """Distributes the tables that are not distributed yet, with their rows; returns their names.

    All rows of a tenant are placed on the same machine. Raises
    CannotServeError if the database is not a coordinator of Citus.
    """
    database.prepare()
    with database.session() as connection:
        if not _rows(connection, "SELECT 1 FROM pg_extension WHERE extname = 'citus'"):
            raise CannotServeError(
                "the database lacks the extension citus: add it to shared_preload_libraries on "
                "every machine, restart them, then CREATE EXTENSION citus in this database on each"
            )
        names = [table._meta.table_name for table in TABLES]  # noqa: SLF001 - Peewee's public name for it
        distributed = {name for (name,) in _rows(connection, _DISTRIBUTED)}
        chosen = [name for name in names if name not in distributed]
        for name in chosen:
            beside = names[0] if name != names[0] else None
            connection.execute(*_distribution(name, beside, shards))
    return chosen


_DISTRIBUTED = "SELECT table_name::text FROM citus_tables WHERE citus_table_type = 'distributed'"


def _rows(connection: Connection, query: str) -> list[tuple[str]]:
    return connection.execute(query.encode()).fetchall()


def _distribution(name: str, beside: str | None, shards: int) -> tuple[bytes, list[object]]:
    if beside:
        call = b"SELECT create_distributed_table(%s, %s, colocate_with := %s)"
        return call, [name, _COLUMN, beside]
    return b"SELECT create_distributed_table(%s, %s, shard_count := %s)", [name, _COLUMN, shards]
