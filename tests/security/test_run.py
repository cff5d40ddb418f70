"""How long a run of attacks takes, and where its table is written."""

from pathlib import Path

import pytest

from tests.security import report
from tests.security.__main__ import ALL_SECONDS, plan
from tests.security.trials import chosen, duration


@pytest.mark.parametrize(("only", "seconds"), [("", None), ("idle calls", None), ("noise", 9.0)])
def test_duration(only: str, seconds: float | None) -> None:
    """All attacks take half an hour at most, a few as long as each may, or as was asked."""
    attacks = chosen(only, is_quick=False)
    planned = plan(attacks, seconds=seconds, is_quick=False)
    assert duration(attacks, planned) <= ALL_SECONDS
    assert (planned.seconds == (seconds or 5.0)) == bool(only)


def test_written_table(tmp_path: Path) -> None:
    """The table replaces that of the last run, and what was said of it."""
    path = tmp_path / "attacks.md"
    path.write_text("before\n<!-- attacks -->\nold\n<!-- end of attacks -->\nafter\n")
    report.write([], "new", path)
    assert path.read_text() == (
        f"before\n<!-- attacks -->\nnew\n\n{report.table([])}\n<!-- end of attacks -->\nafter\n"
    )


def test_place_of_table() -> None:
    """The documentation has a place for the table."""
    text = report.DOCUMENT.read_text("utf-8")
    assert "<!-- attacks -->\n" in text.partition("<!-- end of attacks -->\n")[0]
