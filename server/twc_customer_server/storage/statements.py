"""The statements, built with Peewee once and kept as compiled SQL.

Building a query takes fifteen times as long as running it. What stands for a
parameter while a statement is built (`TEXT`, `NUMBER`, `BYTES`) is replaced
when it runs: by position, in the order of the SQL.
"""

from collections.abc import Iterable
from typing import Any

from peewee import Tuple

from twc_customer_server.storage.database import Database
from twc_customer_server.storage.schema import UNIQUE, Column, CustomerRow

TEXT, NUMBER, BYTES = "", 0, b""

# Values whose owners are asked for at a time. Each by itself would, while
# PostgreSQL has no statistics of a new table, cost a scan of the tenant.
OWNERS = 100

# A query of Peewee's, which leaves their types open.
Query = Any

_row = CustomerRow
_LIVE = _row.deleted_at.is_null()
_BY: dict[str, Column] = {"id": _row.id, "customerRef": _row.customer_ref}
_SEARCH: dict[str, Column] = {
    "email": _row.email_key,
    "first_name": _row.first_name_key,
    "last_name": _row.last_name_key,
    "mobile": _row.mobile,
    "phone": _row.phone,
}
_KEYS = {
    _row.customer_ref: TEXT,
    _row.email_key: TEXT,
    _row.mobile: TEXT,
    _row.phone: TEXT,
    _row.first_name_key: TEXT,
    _row.last_name_key: TEXT,
}


class Statements:
    """The compiled SQL of every statement on customers; comments give the parameters."""

    def __init__(self, database: Database) -> None:
        self._locks = database.for_update
        self._compile = database.compile
        # tenant, value
        self.body_by = {
            name: self._compile(_one(column, _row.body)) for name, column in _BY.items()
        }
        self.body_to_change = {
            name: self._compile(self._locked(_one(column, _row.body)))
            for name, column in _BY.items()
        }
        self.owner = {name: self._compile(_one(column, _row.id)) for name, column in UNIQUE.items()}
        # tenant, OWNERS values
        self.owners = {
            name: self._compile(
                _row.select(column, _row.id).where(
                    _row.tenant == TEXT, column.in_([TEXT] * OWNERS), _LIVE
                )
            )
            for name, column in UNIQUE.items()
        }
        # tenant, id, the keys, created_at, modified_at, body
        self.insert = self._compile(
            _row.insert(
                {
                    _row.tenant: TEXT,
                    _row.id: TEXT,
                    **_KEYS,
                    _row.created_at: NUMBER,
                    _row.modified_at: NUMBER,
                    _row.body: BYTES,
                }
            ).on_conflict(action="nothing")
        )
        # the keys, modified_at, body, tenant, id
        self.update = self._compile(
            _row.update({**_KEYS, _row.modified_at: NUMBER, _row.body: BYTES}).where(
                _row.tenant == TEXT, _row.id == TEXT
            )
        )
        # tenant, then as `export.Place` and `Export.began` say, limit
        self.export_all = {
            deleted: self._compile(
                _export(deleted)
                .where(_row.id > TEXT, _row.created_at <= NUMBER)
                .order_by(_row.id)
                .limit(1)
            )
            for deleted in (False, True)
        }
        self.export_since = {
            deleted: self._compile(
                _export(deleted)
                .where(
                    Tuple(_row.modified_at, _row.id) > Tuple(NUMBER, TEXT),
                    _row.modified_at <= NUMBER,
                )
                .order_by(_row.modified_at, _row.id)
                .limit(1)
            )
            for deleted in (False, True)
        }
        # deleted_at, modified_at, tenant, value
        self.delete = {name: self._compile(_delete(column)) for name, column in _BY.items()}
        self._searches: dict[tuple[str, ...], str] = {}

    def search(self, names: Iterable[str]) -> str:
        """The search by some parameters: tenant, their values, id to go on after, limit."""
        chosen = tuple(names)
        if chosen not in self._searches:
            wanted = [_SEARCH[name] == TEXT for name in chosen]
            self._searches[chosen] = self._compile(
                _row.select(_row.id, _row.body)
                .where(_row.tenant == TEXT, *wanted, _row.id > TEXT, _LIVE)
                .order_by(_row.id)
                .limit(1)
            )
        return self._searches[chosen]

    def _locked(self, query: Query) -> Query:
        """Keeps others from changing what a query reads, where the database locks rows."""
        return query.for_update() if self._locks else query


def _one(column: Column, result: Column) -> Query:
    return _row.select(result).where(_row.tenant == TEXT, column == TEXT, _LIVE)


def _export(deleted: bool) -> Query:  # noqa: FBT001 - one of two queries
    query = _row.select(_row.id, _row.modified_at, _row.deleted_at, _row.body)
    query = query.where(_row.tenant == TEXT)
    return query if deleted else query.where(_LIVE)


def _delete(column: Column) -> Query:
    times = {_row.deleted_at: NUMBER, _row.modified_at: NUMBER}
    return _row.update(times).where(_row.tenant == TEXT, column == TEXT, _LIVE)
