"""Folds names, so that those that differ in accents or punctuation alone become equal.

Stored keys depend on this: with a change, a migration must compute them anew.
"""

import unicodedata

_APOSTROPHES = "`\u00b4\u02b9\u02bb\u02bc\u02bd\u02c8\u2018\u2019\u201a\u201b\u2032\u2035\uff07"
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"

# Letters that Unicode does not decompose into one of ASCII and a mark, in lower case.
_LETTERS = {
    "æ": "ae",
    "œ": "oe",
    "ß": "ss",
    "þ": "th",
    "ø": "o",
    "đ": "d",
    "ð": "d",
    "ħ": "h",
    "\u0131": "i",
    "ĸ": "k",
    "ł": "l",
    "ŋ": "n",
    "ŧ": "t",
    "ə": "e",
    "ɓ": "b",
    "ƈ": "c",
    "ɖ": "d",
    "ɗ": "d",
    "ɛ": "e",
    "ƒ": "f",
    "ɠ": "g",
    "ɨ": "i",
    "ƙ": "k",
    "ɔ": "o",
    "ƥ": "p",
    "ƭ": "t",
    "ʉ": "u",
    "\u028b": "v",
    "ƴ": "y",
    "ƶ": "z",
}
_PUNCTUATION = str.maketrans(dict.fromkeys(_APOSTROPHES, "'") | dict.fromkeys(_DASHES, "-"))
_FOLDED = _PUNCTUATION | str.maketrans(_LETTERS)

# Marks of lower canonical combining classes, such as the nukta, the virama and the
# voicing of kana, make another letter and no accent; an overlay is one.
_FIRST_CLASS_OF_ACCENTS = 10
_OVERLAY = 1


def fold(text: str) -> str:
    """Returns a case-folded text without accents, and with one form of apostrophes and dashes."""
    if text.isascii():
        return text.translate(_PUNCTUATION) if "`" in text else text
    # Before and after, since an acute accent that stands alone decomposes as well.
    decomposed = unicodedata.normalize("NFKD", text.translate(_PUNCTUATION))
    letters = "".join(character for character in decomposed if not _is_accent(character))
    return unicodedata.normalize("NFC", letters.casefold().translate(_FOLDED))


def _is_accent(character: str) -> bool:
    combining = unicodedata.combining(character)
    return combining >= _FIRST_CLASS_OF_ACCENTS or combining == _OVERLAY
