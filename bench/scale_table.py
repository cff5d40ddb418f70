"""Writes the table of `make scale`, of each database, into docs/databases.md."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tools.documents import replace_part

DATABASES = ("sqlite", "postgresql")
DOCUMENT = Path(__file__).parents[1] / "docs" / "databases.md"


def table(
    sizes: Sequence[int], columns: Sequence[Mapping[str, str]], facts: Mapping[str, str]
) -> str:
    """Returns a Markdown table of the figures, and the machine that they are of."""
    database = "PostgreSQL" if "PostgreSQL" in facts else "SQLite"
    today = datetime.now(UTC).date()
    lines = [
        f"{database} {facts[database]}, {today}; cores: {facts['Cores']}; {facts['Memory']}.",
        "",
        "| | " + " | ".join(f"{size:,} customers" for size in sizes) + " |",
        "|---|" + "---|" * len(sizes),
    ]
    lines += [
        f"| {title} | " + " | ".join(column[title] for column in columns) + " |"
        for title in columns[0]
    ]
    return "\n".join(lines) + "\n"


def write(document: Path, database: str, table: str) -> None:
    """Replaces the table of a database in a document."""
    replace_part(document, f"scale {database}", table)
