"""Texts in the cells of a CSV file, which spreadsheets must not take for formulas.

A text that a spreadsheet would run is written with a `'` in front, and read
without it. So is one that would otherwise lose a `'` of its own when it is
read, so that every text comes back as it was.
"""

import re

_QUOTE = "'"
_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - full-width signs start formulas, too
_is_phone = re.compile(r"\+[0-9][0-9 ]*").fullmatch


def guard(text: str) -> str:
    """A text as a cell that no spreadsheet runs."""
    if _is_harmless(text) or _is_phone(text):
        return text
    return _QUOTE + text


def unguard(cell: str) -> str:
    """The text of a cell that `guard` or a spreadsheet wrote."""
    if cell.startswith(_QUOTE) and not _is_harmless(cell):
        return cell[1:]
    return cell


def guard_present(text: str) -> str:
    """A text as a cell that is not empty even where the text is."""
    return guard(text) or _QUOTE


def guard_again(cell: str) -> str:
    """A cell that someone else wrote, with the same text, such that no spreadsheet runs it."""
    return guard(unguard(cell)) if unguard(cell) else cell


def _is_harmless(text: str) -> bool:
    """Tells whether the text begins no formula, even without its leading quotes."""
    bare = text.lstrip(_QUOTE)
    return not bare.startswith(_STARTS) if bare else not text
