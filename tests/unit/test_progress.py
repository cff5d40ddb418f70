"""The progress of long operations: a bar on a terminal, lines elsewhere."""

import io
import sys

import pytest

from twc_customer_server.admin import progress


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("seconds", "is_drawn"), [(0, True), (60, False)])
def test_bar(monkeypatch: pytest.MonkeyPatch, seconds: int, is_drawn: bool) -> None:  # noqa: FBT001
    """A terminal gets a bar once an operation lasts some seconds, and nothing before that."""
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "_BAR_SECONDS", seconds)
    with progress.progress("copying pages", 10) as advance:
        advance(10)
    assert ("copying pages" in terminal.getvalue()) is is_drawn


@pytest.mark.parametrize(
    ("total", "line"), [(3, "copying: 3 of 3\n"), (None, "copying\n")], ids=["known", "unknown"]
)
def test_lines(capsys: pytest.CaptureFixture[str], total: int | None, line: str) -> None:
    """What is no terminal gets plain lines, of which the last says how much was done."""
    with progress.progress("copying", total) as advance:
        advance(3)
    assert capsys.readouterr().err == line
