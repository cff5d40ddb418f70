"""Protects the texts of CSV cells from spreadsheets.

A spreadsheet runs a cell that begins like a formula, and makes another one of what
looks like a number, a date or a truth value, such as 1234 of `01234`. In the files of
this command a `'` precedes such a text, as well as one that begins with `'`, and
reading the file removes it: a spreadsheet that keeps cells of text as they are may
save the file any number of times. Where no spreadsheet keeps a character, a JSON
string follows the `'`.

Other programs' files have a `'` before what would be a formula at most.
"""

import json
import re
from contextlib import suppress

_QUOTE = "'"
_JSON_QUOTE = '"'
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - full-width signs start formulas, too
_JSON_STARTS = ("{", "[", _JSON_QUOTE)

# Matches the truth values that spreadsheets write, each in the language of its user.
is_true = re.compile(
    "true|wahr|vrai|verdadero|vero|verdadeiro|waar|prawda|sant|sand|sann|tosi|igaz|pravda|doğru"
    "|истина",
    re.IGNORECASE,
).fullmatch
is_false = re.compile(
    "false|falsch|faux|falso|onwaar|fałsz|falskt|falsk|usann|epätosi|hamis|nepravda|yanl\u0131ş"
    "|ложь",
    re.IGNORECASE,
).fullmatch

# A line break of old systems, which becomes another one, and what gets lost: NUL and,
# in OpenDocument files, a tab.
_is_lossy = re.compile(r"[\r\t\0]").search

# Neither is read as a number or date, although it begins with a digit: an id, and
# a time in UTC.
_is_constant = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[\d:.]+Z"
).fullmatch
# Most texts: they begin with a letter and have no digit.
_is_of_words = re.compile(r"[^\W\d_][^\d\r\t\0]*").fullmatch
_words = re.compile(r"[^\W\d_]{3,}").findall

# The years of an era, as Japanese dates have them: `R5.5.28`.
_is_era = re.compile(r"[a-z]{1,2}\d+[./-]\d+[./-]\d+", re.IGNORECASE).fullmatch

# How months and days of the week begin in many languages of Latin letters; a word
# of other letters may be one as well.
_begins_date_word = re.compile(
    "jan|feb|fev|fév|mar|mär|már|mrt|apr|ápr|avr|abr|kwi|may|mai|maj|máj|mei|mag|jun|jún|jui|giu"
    "|cze|jul|júl|lug|lip|aug|aoû|ago|sie|sep|set|sze|wrz|oct|okt|ott|out|paź|nov|noi|lis|dec"
    "|dez|déc|dic|gru|ene|gen|sty|lut|ian|iun|iul|oca|şub|nis|haz|tem|ağu|eyl|eki|kas|ara|led"
    "|úno|bře|dub|kvě|čer|srp|zář|říj|pro|tam|hel|maa|huh|tou|kes|hei|elo|syy|lok|mon|tue|wed"
    "|thu|fri|sat|sun|die|mit|don|fre|sam|son|lun|mer|jeu|ven|dim|mié|mie|jue|vie|sáb|sab|dom"
    "|seg|ter|qua|qui|sex",
    re.IGNORECASE,
).match
_LAST_LATIN = "\u024f"
_LONGEST_CODE = 3


def protect(text: str) -> str:
    """Returns a cell of this command's files, which is never empty."""
    if _is_of_words(text):
        return _QUOTE + text if _is_truth_value(text) else text
    if _is_lossy(text):
        return _QUOTE + json.dumps(text, ensure_ascii=False)
    return quote(text) or _QUOTE


def quote(text: str) -> str:
    """Returns a text with a `'` in front if it needs one, and an empty text as it is."""
    return _QUOTE + text if text.startswith(_QUOTE) or _is_converted(text) else text


def unprotect(cell: str) -> str:
    """Returns the text of a cell that `protect` wrote, or a user into the same file."""
    text = cell.removeprefix(_QUOTE)
    if len(text) < len(cell) and text.startswith(_JSON_QUOTE):
        with suppress(ValueError):
            return str(json.loads(text))
    return text


def read_foreign(cell: str) -> str:
    """Returns the text of a cell of another program: without the `'` before a formula."""
    bare = cell.lstrip(_QUOTE)
    is_protected = bare.startswith(_FORMULA_STARTS) if bare else bool(cell)
    return cell.removeprefix(_QUOTE) if is_protected else cell


def _is_converted(text: str) -> bool:
    """Returns whether a spreadsheet, in any language, may take a text for something else."""
    bare = text.strip()
    if text.startswith(_FORMULA_STARTS) or not bare:
        return bool(text)
    if bare.startswith(_JSON_STARTS) or _is_constant(bare):
        return False
    if _is_of_words(bare):
        return _is_truth_value(bare)
    return bare.startswith((*_FORMULA_STARTS, "#")) or _is_like_number(bare)


def _is_truth_value(text: str) -> bool:
    return bool(is_true(text.strip()) or is_false(text.strip()))


def _is_like_number(text: str) -> bool:
    """Returns whether a text with digits may be a number, an amount of money or a date."""
    words = _words(text)
    others = [word for word in words if not _is_of_date(word)]
    if text[0].isalpha():
        return not others and bool(words or _is_era(text) or max(text) > _LAST_LATIN)
    return any(character.isnumeric() for character in text) and not any(
        len(word) > _LONGEST_CODE for word in others
    )


def _is_of_date(word: str) -> bool:
    return bool(_begins_date_word(word)) or max(word) > _LAST_LATIN
