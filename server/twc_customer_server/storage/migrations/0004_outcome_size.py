"""The size of a kept outcome, and an index by which the sizes of a tenant are summed."""

from typing import Any

from peewee import BigIntegerField


def up(migrator: Any, _db: Any) -> None:
    """Adds the column, null for outcomes that are kept already, and extends the index by it."""
    columns = ("tenant", "created_at", "size")
    migrator.migrate(
        migrator.add_column("outcome", "size", BigIntegerField(null=True)),
        migrator.drop_index("outcome", "outcome_created_at"),
        migrator.add_index("outcome", columns, name="outcome_created_at"),
    )
