"""Tests of the table of `make scale`."""

from pathlib import Path

import pytest

from bench import scale


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
        scale.write(path, "b", table)
    assert path.read_text() == (
        "before\n<!-- scale a -->\n<!-- end of scale a -->\n"
        "<!-- scale b -->\n| new |\n<!-- end of scale b -->\nafter\n"
    )


def test_places_in_document() -> None:
    """The document has a place for the table of each database."""
    text = scale.DOCUMENT.read_text("utf-8")
    for database in scale.DATABASES:
        assert f"<!-- scale {database} -->\n" in text
        assert f"<!-- end of scale {database} -->\n" in text
