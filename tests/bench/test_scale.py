"""Tests of the table of `make scale`."""

from pathlib import Path
from typing import Any

import pytest

from bench import scale, scale_table
from bench.dataset import Dataset
from bench.migrations import downgrade, undone_migrations
from tests.support.tokens import trust
from twc_customer_gateway.settings import GatewaySettings
from twc_customer_server.databases import open_database
from twc_customer_server.storage.database import Database, shut_down_after
from twc_customer_server.storage.store import CustomerStore


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (500, [500]),
        (10_000, [10_000]),
        (1_000_000, [10_000, 100_000, 1_000_000]),
        (2_500_000, [10_000, 100_000, 1_000_000, 2_500_000]),
    ],
)
def test_sizes(rows: int, expected: list[int]) -> None:
    """Each size is ten times the last, up to the one that is asked for."""
    assert [*scale.sizes(rows)] == expected


def test_written_table(tmp_path: Path) -> None:
    """A table replaces that of its database alone, as often as it is written."""
    path = tmp_path / "databases.md"
    empty = "".join(f"<!-- scale {it} -->\n<!-- end of scale {it} -->\n" for it in ("a", "b"))
    path.write_text(f"before\n{empty}after\n")
    for table in ("| old |\n", "| new |\n"):
        scale_table.write(path, "b", table)
    assert path.read_text() == (
        "before\n<!-- scale a -->\n<!-- end of scale a -->\n"
        "<!-- scale b -->\n| new |\n<!-- end of scale b -->\nafter\n"
    )


def test_places_in_document() -> None:
    """The document has a place for the table of each database."""
    text = scale_table.DOCUMENT.read_text("utf-8")
    for database in scale_table.DATABASES:
        assert f"<!-- scale {database} -->\n" in text
        assert f"<!-- end of scale {database} -->\n" in text


def indexes(database: Database, *, is_postgres: bool) -> set[str]:
    """The names of the indexes of a database."""
    of_sqlite = "SELECT name FROM sqlite_schema WHERE type = 'index'"
    of_postgres = "SELECT indexname FROM pg_indexes WHERE schemaname = 'public'"
    return {name for (name,) in database.rows(of_postgres if is_postgres else of_sqlite, {})}


def test_downgrade(own_database: dict[str, Any]) -> None:
    """The newest migrations make anew what a downgrade takes back, and fill the customers' keys."""
    is_postgres = "database_url" in own_database
    settings = GatewaySettings(**own_database, **trust())
    with shut_down_after(open_database(settings)) as database:
        database.prepare()
        store = CustomerStore(database)
        for tenant in ("acme", "other"):
            store.insert(tenant, Dataset().stored(1))
        before = indexes(database, is_postgres=is_postgres)
    downgrade(settings)
    with shut_down_after(open_database(settings)) as database:
        assert database.migrate() == undone_migrations()
    with shut_down_after(open_database(settings)) as database:
        database.prepare()
        assert indexes(database, is_postgres=is_postgres) == before
        assert database.rows("SELECT tenant FROM customer WHERE status IS NULL", {}) == []
