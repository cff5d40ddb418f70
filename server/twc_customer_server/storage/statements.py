"""The SQL of every statement on customers, compiled by Peewee once, with named parameters.

Building a query takes fifteen times as long as running it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from peewee import SQL, Case, Tuple, Value, fn

from twc_customer_server.storage.database import Database, Reader, Row
from twc_customer_server.storage.rows import name_fold
from twc_customer_server.storage.schema import UNIQUE, Column, CustomerRow

# Values that one statement looks up. A statement for each value would cost a
# scan of the tenant while PostgreSQL has no statistics of a new table.
LOOKUP_SIZE = 100

# Rows that are read at a time: one more than the default page.
CHUNK_ROWS = 101

# A query of Peewee, which leaves its types open.
Query = Any

_row = CustomerRow
_LIVE = _row.deleted_at.is_null()
# A change has no number until `ChangeStore` gives it one.
UNNUMBERED = {_row.change_sequence: SQL("NULL")}
_SELECTORS: dict[str, Column] = {
    "id": _row.id,
    "customerRef": _row.customer_ref,
    "alternateCustomerRef": _row.alternate_ref,
    "email": _row.email_key,
}
_SEARCH: dict[str, tuple[Column, ...]] = {
    "email": (_row.email_key,),
    "first_name": (_row.first_name_fold, _row.first_name_key),
    "last_name": (_row.last_name_fold, _row.last_name_key),
    "mobile": (_row.mobile,),
    "phone": (_row.phone,),
}
# A set, in which columns are the same if they are one: two that are compared make a condition.
_UNIQUE_COLUMNS = {*UNIQUE.values()}
# All by which a customer is found, or listed.
KEYS: tuple[Column, ...] = (
    _row.customer_ref,
    _row.alternate_ref,
    _row.email_key,
    _row.mobile,
    _row.phone,
    _row.first_name_key,
    _row.last_name_key,
    _row.first_name_fold,
    _row.last_name_fold,
    _row.status,
)


def parameter(name: str) -> Value:
    """Returns a parameter that is bound by name when the statement runs."""
    return Value(name, converter=False)


def values_of(columns: Iterable[Column]) -> dict[Column, Value]:
    """Returns a parameter for each column, of the column's name."""
    return {column: parameter(column.column_name) for column in columns}


def time_of_change() -> Query:
    """Returns the time `now`, or the next one after the last change if the clock was set back."""
    is_later = parameter("now") > _row.modified_at
    return Case(None, [(is_later, parameter("now"))], _row.modified_at + SQL("1"))


def update(keys: Iterable[Column] = KEYS) -> Query:
    """Returns the update of a customer that writes these keys beside time and message.

    Its parameters are `changed_columns` and `tenant`.
    """
    changed = values_of((*keys, _row.modified_at, _row.body))
    return _row.update(changed | UNNUMBERED).where(
        _row.tenant == parameter("tenant"), _row.id == parameter("id")
    )


def look_up(database: Reader, statement: str, tenant: str, values: Sequence[str]) -> Iterator[Row]:
    """Yields what a statement finds of values, which it looks up LOOKUP_SIZE at a time."""
    for start in range(0, len(values), LOOKUP_SIZE):
        chunk = [*values[start : start + LOOKUP_SIZE]]
        padded = chunk + chunk[-1:] * (LOOKUP_SIZE - len(chunk))
        asked = {f"value_{number}": value for number, value in enumerate(padded)}
        yield from database.rows(statement, {"tenant": tenant, **asked})


def with_id(query: Query) -> Query:
    """Selects the customer with an id, live or not."""
    return query.where(_of_tenant(), is_only(_row.id, parameter("id"))).order_by(_row.id)


def locked(database: Database, query: Query, clause: str = "FOR UPDATE") -> Query:
    """Locks the rows that a query reads, where the database has row locks."""
    return query.for_update(clause) if database.for_update else query


class Statements:
    """The compiled statements; each names its parameters."""

    def __init__(self, database: Database) -> None:
        self._compile = database.compile
        self.body_by = {
            name: self._compile(_select_one(column, _row.body))
            for name, column in _SELECTORS.items()
        }
        # The id, the message and all keys.
        self.row_for_update = {
            name: self._compile(locked(database, _select_one(column, _row.id, _row.body, *KEYS)))
            for name, column in _SELECTORS.items()
        }
        self.bodies = self._compile(_look_up(_row.id, _row.body))
        self.bodies_for_update = self._compile(locked(database, _look_up(_row.id, _row.body)))
        # Those that were ever stored, deleted or not: no id is used twice.
        self.stored = self._compile(
            _row.select(_row.id, _row.created_at)
            .where(_of_tenant(), _row.id.in_(_lookup_values()))
            .order_by(_row.id)
        )
        self.owner = {
            name: self._compile(_select_one(column, _row.id)) for name, column in UNIQUE.items()
        }
        self.owners = {
            name: self._compile(_look_up(column, _row.id)) for name, column in UNIQUE.items()
        }
        self.insert = self._compile(
            _row.insert(
                values_of(
                    (
                        _row.tenant,
                        _row.id,
                        *KEYS,
                        _row.created_at,
                        _row.modified_at,
                        _row.body,
                        _row.change_sequence,
                    )
                )
                | {_row.created_sequence: parameter("change_sequence")}
            ).on_conflict(action="nothing")
        )
        self.update = self._compile(update())
        self.delete = self._compile(_delete())
        self._updates: dict[tuple[str, ...], str] = {}
        self._searches: dict[tuple[str, ...], str] = {}

    def update_of(self, row: Mapping[str, object], keys: Sequence[object]) -> str:
        """Returns the update to a row that writes, of all keys, those that are not stored yet.

        SQLite writes the index of every column that an update names, changed or not.
        """
        changed = tuple(
            column.column_name
            for column, stored in zip(KEYS, keys, strict=True)
            if row[column.column_name] != stored
        )
        if changed not in self._updates:
            columns = [column for column in KEYS if column.column_name in changed]
            self._updates[changed] = self._compile(update(columns))
        return self._updates[changed]

    def search(self, names: Iterable[str]) -> str:
        """Returns the search by some fields.

        Its parameters are `search_parameters`, `tenant`, `after_id` and `limit`.
        """
        chosen = tuple(names)
        if chosen not in self._searches:
            self._searches[chosen] = self._compile(_search(chosen))
        return self._searches[chosen]

    @staticmethod
    def search_parameters(wanted: Mapping[str, str]) -> dict[str, str]:
        """Returns the parameters of a search by the keys of some fields."""
        folds = {
            _SEARCH[name][0].column_name: name_fold(key)
            for name, key in wanted.items()
            if len(_SEARCH[name]) > 1
        }
        return {_SEARCH[name][-1].column_name: key for name, key in wanted.items()} | folds


def _of_tenant() -> Query:
    return _row.tenant == parameter("tenant")


def is_only(column: Column, value: Value) -> Query:
    """Returns the condition that a column has a value, as a range, for a query in its order.

    Of a tenant without statistics PostgreSQL takes every index for as good as that of the
    column, and may read the whole tenant by another one. It sorts nothing if an index has the
    order; but a column that equals a value has no order to it.
    """
    return column.between(value, value)


def _select_one(column: Column, *results: Column) -> Query:
    one = is_only(column, parameter("value"))
    return _row.select(*results).where(_of_tenant(), one, _LIVE).order_by(column)


def _search(names: Sequence[str]) -> Query:
    """Returns the search by some fields, in the order of the index of one of them."""
    columns = [column for name in names for column in _SEARCH[name]]
    # Of several unique values one is enough, and no index has that in the order of ids.
    unique = [column for column in columns if column in _UNIQUE_COLUMNS][:1]
    # Of two names the last one, which fewer customers share.
    walked = unique or [*_SEARCH[max(names)]]
    others = values_of(column for column in columns if column not in {*walked})
    wanted = [column == value for column, value in others.items()]
    if unique:
        wanted += [is_only(it, parameter(it.column_name)) for it in unique]
        wanted += [_row.id > parameter("after_id")]
    else:
        wanted += _has_name(walked)
        walked += [_row.id]
    query = _row.select(_row.id, _row.body).where(_of_tenant(), *wanted, _LIVE)
    return query.order_by(*walked).limit(parameter("limit"))


def _has_name(columns: Sequence[Column]) -> list[Query]:
    """Returns the conditions that a name has a value, and the id follows `after_id`, as a range.

    It begins and ends where these customers do in the index of the name.
    """
    values = [*values_of(columns).values()]
    follows = Tuple(*columns, _row.id) > Tuple(*values, parameter("after_id"))
    return [follows, Tuple(*columns) <= Tuple(*values)]


def _look_up(column: Column, result: Column) -> Query:
    some = column.in_(_lookup_values())
    # The order has PostgreSQL take the index of the column.
    return _row.select(column, result).where(_of_tenant(), some, _LIVE).order_by(column)


def _lookup_values() -> list[Value]:
    return [parameter(f"value_{number}") for number in range(LOOKUP_SIZE)]


def _delete() -> Query:
    time = time_of_change()
    deleted_at = {_row.deleted_at: time, _row.modified_at: time}
    # In this form the condition fits no index of live customers, by any of which PostgreSQL
    # would read the whole tenant while it has no statistics.
    is_live = fn.COALESCE(_row.deleted_at, SQL("0")) == SQL("0")
    return _row.update(deleted_at | UNNUMBERED).where(
        _of_tenant(), _row.id == parameter("id"), is_live
    )
