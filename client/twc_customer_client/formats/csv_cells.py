"""Escapes CSV cells against formula injection.

Spreadsheets run a cell that begins like a formula. Such a text is written with
a `'` in front and read without it. So is a text that would lose a `'` of its
own when it is read: every text survives the round trip.
"""

import re

_QUOTE = "'"
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - full-width signs start formulas, too
_is_phone = re.compile(r"\+[0-9][0-9 ]*").fullmatch


def escape(text: str) -> str:
    """Returns a cell that no spreadsheet takes for a formula."""
    if _is_harmless(text) or _is_phone(text):
        return text
    return _QUOTE + text


def unescape(cell: str) -> str:
    """Returns the text of a cell that `escape` or a spreadsheet wrote."""
    if cell.startswith(_QUOTE) and not _is_harmless(cell):
        return cell[1:]
    return cell


def escape_present(text: str) -> str:
    """Escapes a text that is set: a lone `'` for an empty one, as an empty cell means unset."""
    return escape(text) or _QUOTE


def re_escape(cell: str) -> str:
    """Escapes the text of a cell from another program, unless the text is empty."""
    return escape(unescape(cell)) if unescape(cell) else cell


def _is_harmless(text: str) -> bool:
    """Returns whether a text begins no formula, even without its leading quotes."""
    bare = text.lstrip(_QUOTE)
    return not bare.startswith(_FORMULA_STARTS) if bare else not text
