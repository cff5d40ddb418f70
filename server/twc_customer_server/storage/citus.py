"""Distributes tables over a Citus cluster, colocated by tenant."""

import logging

from twc_customer_server.storage.postgres_connection import Connection
from twc_customer_server.storage.schema import TABLES

_COLUMN = "tenant"

_NAMES = [table._meta.table_name for table in TABLES]  # noqa: SLF001 - Peewee's public name for it

_IS_COORDINATOR = b"SELECT to_regclass('citus_tables') IS NOT NULL"
_DISTRIBUTED = b"SELECT table_name::text FROM citus_tables WHERE citus_table_type = 'distributed'"
_IS_LOGICAL = b"SELECT current_setting('wal_level') = 'logical'"

_log = logging.getLogger(__name__)


def is_coordinator(connection: Connection) -> bool:
    """Tells whether the database has the extension citus."""
    return _tells(connection, _IS_COORDINATOR)


def distribute(connection: Connection, shards: int) -> list[str]:
    """Distributes the tables that are not distributed yet, with their rows; returns their names.

    All rows of a tenant are placed on the same machine. Others write meanwhile if the database
    has `wal_level = logical`; otherwise they wait while the rows of a table are moved.
    """
    chosen = _local_tables(connection)
    for name in chosen:
        _distribute(connection, name, shards)
    return chosen


def distribute_new(connection: Connection) -> None:
    """Distributes the tables that a migration has added to a cluster, if this is one.

    They would stay on the coordinator otherwise.
    """
    if not is_coordinator(connection):
        return
    local = _local_tables(connection)
    if _NAMES[0] not in local:
        for name in local:
            _distribute(connection, name)
            _log.info("distributed the table %s", name)


def _local_tables(connection: Connection) -> list[str]:
    distributed = {name for (name,) in connection.execute(_DISTRIBUTED)}
    return [name for name in _NAMES if name not in distributed]


def _distribute(connection: Connection, name: str, shards: int | None = None) -> None:
    has_rows = _tells(connection, f"SELECT EXISTS (SELECT FROM {name})".encode())  # noqa: S608 - names alone
    function = "create_distributed_table"
    if has_rows and _tells(connection, _IS_LOGICAL):
        function = "create_distributed_table_concurrently"
    where, value = ("colocate_with", _NAMES[0]) if name != _NAMES[0] else ("shard_count", shards)
    call = f"SELECT {function}(%s, %s, {where} := %s)"
    connection.execute(call.encode(), [name, _COLUMN, value])


def _tells(connection: Connection, question: bytes) -> bool:
    [told] = connection.execute(question).fetchone() or [False]
    return bool(told)
