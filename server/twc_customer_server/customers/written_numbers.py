"""Reads the digits of a phone number from what people write around them."""

import re
import unicodedata
from typing import NamedTuple, Self

import phonenumbers
from phonenumbers import NumberParseException

NOT_A_PHONE = "must be a phone number that can be dialled from abroad, such as +491701234567"
ROUNDED = "must have all its digits, as in +491701234567; a table or spreadsheet has rounded it"
HAS_EXTENSION = "must not have an extension, which E.164 cannot express"

_LETTER = re.compile(r"[^\W\d_]").search

# Spaces, dashes and marks of direction by their Unicode category, and other characters that people
# write in numbers.
_SIMPLE_CATEGORIES = {"Zs": " ", "Pd": " ", "Cf": ""}
_SIMPLE_CHARACTERS = {
    **dict.fromkeys("./~\t\r\n\u2044\u2053\u2212\u223c\uff0e\uff0f\uff5e", " "),
    **dict.fromkeys("[\uff08\uff3b", "("),
    **dict.fromkeys("]\uff09\uff3d", ")"),
    **dict.fromkeys(
        map(chr, range(0xFE00, 0xFE10)), ""
    ),  # Selectors of a form of the character before.
    "\uff0b": "+",
}
_ODD = re.compile(r"[^0-9+() ]")
_ODD_ENDS = re.compile(r"^[^\w+(#*]+|[^\w)#*]+$")
# Texts are read by the library as if in some region, to learn whether they hold a number.
_ANY_REGION = "US"

# Tables and spreadsheets write numbers of a column that has empty cells with a fraction.
_WITH_FRACTION = re.compile(r"\s*(\+?[0-9]{5,})[.,]00?\s*", re.ASCII).fullmatch
# And large numbers with their first digits alone, as in 4.47976E+11.
_ROUNDED = re.compile(r"\s*\+?[0-9](?:[.,][0-9]+)?E\+?[0-9]{1,2}\s*", re.ASCII).fullmatch
_SCHEME = re.compile("tel:", re.IGNORECASE).match

# Match a number as `_simplify` leaves it, and its parts.
_SIMPLE = re.compile(r"(?:[( ]*(\++))?[ )]*(\(*[0-9 ]*[0-9][0-9() ]*)").fullmatch
_FIRST_GROUP = re.compile(r"(\(?) *([0-9]+)").match
_INNER_GROUP = re.compile(r"(\(?[0-9 ]*[0-9][) ]*)\( *([0-9]+) *\)[0-9() ]*").fullmatch
_MIN_DIGITS = 2
_BETWEEN_DIGITS = str.maketrans("", "", "() ")


class WrittenNumber(NamedTuple):
    """A phone number as it was written."""

    has_plus: bool
    digits: str
    # Digits up to the first space, dash or parenthesis, and whether parentheses enclose them.
    first_group: str
    is_first_enclosed: bool
    # How many digits precede the first parentheses that do not begin the number, and how many
    # these enclose: 2 and 1 in 49 (0)30 901820.
    before_enclosed: int
    enclosed: int

    @classmethod
    def read(cls, text: str) -> Self:
        """Reads a text. Raises ValueError if it is no number, or has an extension."""
        parts = _SIMPLE(_simplify(text))
        if parts is None:
            raise ValueError(NOT_A_PHONE)
        plus, body = parts.groups()
        digits = body.translate(_BETWEEN_DIGITS)
        if len(digits) < _MIN_DIGITS:
            raise ValueError(NOT_A_PHONE)
        first = _FIRST_GROUP(body)
        inner = _INNER_GROUP(body)
        return cls(
            bool(plus),
            digits,
            first[2] if first else "",
            bool(first and first[1]),
            len(inner[1].translate(_BETWEEN_DIGITS)) if inner else 0,
            len(inner[2]) if inner else 0,
        )


def _simplify(text: str) -> str:
    """Returns a number's ASCII digits, plus signs and parentheses, with spaces for all else."""
    if whole := _WITH_FRACTION(text):
        return whole[1]
    if _ROUNDED(text):
        raise ValueError(ROUNDED)
    scheme = _SCHEME(text)
    number = text[scheme.end() :] if scheme else text
    simple = _ODD_ENDS.sub("", "".join(map(_simple_character, number)))
    if _ODD.search(simple):
        try:
            parsed = phonenumbers.parse(text, _ANY_REGION)
        except NumberParseException as error:
            raise ValueError(NOT_A_PHONE) from error
        if parsed.extension:
            raise ValueError(HAS_EXTENSION)
        if _LETTER(simple):
            raise ValueError(NOT_A_PHONE)  # The library reads letters as keys of a telephone.
        return _ODD.sub(" ", simple)
    return simple


def _simple_character(character: str) -> str:
    if (digit := unicodedata.decimal(character, None)) is not None:
        return str(digit)
    if (simple := _SIMPLE_CHARACTERS.get(character)) is not None:
        return simple
    return _SIMPLE_CATEGORIES.get(unicodedata.category(character), character)
