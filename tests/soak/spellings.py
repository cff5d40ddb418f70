"""Spellings of one value that the service takes for the same, each different from the others."""

import itertools
import random
import unicodedata
from collections.abc import Callable, Iterator

# Local part and domain; each round puts its number in.
EMAILS = (
    ("ada.lovelace-number", "analytical-engine-number.example.com"),
    ("jörg.müßig-number", "bücher-number.jäger.example"),
    ("οδυσσεύς-number", "ελλάδα-number.example"),
    ("лев.толстой-number", "ясная-поляна-number.рф"),
    ("ışık-number", "türkiye-number.example"),  # noqa: RUF001 - the letter that is meant
    ("nguyễn.thị-number", "hà-nội-number.example"),
)
_COUNTRY, _NATIONAL = "49", "170"
_PREFIXES = (f"+{_COUNTRY}", f"00{_COUNTRY}", f"(+{_COUNTRY})", f"+{_COUNTRY} (0)", f"+ {_COUNTRY}")
# No dot: near the end it is the decimal point of a spreadsheet.
_SEPARATORS = ("", " ", "-", "/", "  ")
_WIDE_ZERO = 0xFF10

Spelling = Callable[[random.Random], str]


def of_email(number: int, chance: random.Random) -> Iterator[str]:
    """Yields an e-mail address in endless spellings: by case, by Unicode form, by domain."""
    local, domain = (it.replace("number", str(number)) for it in EMAILS[number % len(EMAILS)])

    def spell(chance: random.Random) -> str:
        name = _in_form(_in_case(local, chance), chance)
        if chance.random() < 0.3:
            name = f'"{name}"'
        labels = [_label(label, chance) for label in domain.split(".")]
        return f"{name}@{'.'.join(labels)}"

    return _unlike(spell, chance)


def of_phone(number: int, chance: random.Random) -> Iterator[str]:
    """Yields a phone number in endless formats."""
    digits = f"{_NATIONAL}{number + 1_000_000}"

    def spell(chance: random.Random) -> str:
        written = chance.choice(_PREFIXES)
        for digit in digits:
            wide = chance.random() < 0.1
            written += chr(_WIDE_ZERO + int(digit)) if wide else digit
            written += chance.choice(_SEPARATORS) if chance.random() < 0.4 else ""
        return written.rstrip(" -/")

    return _unlike(spell, chance)


def of_reference(number: int, _: random.Random) -> Iterator[str]:
    """Yields a reference, of which there is one spelling alone."""
    return itertools.repeat(f"Reference-{number} ß")


def _unlike(spell: Spelling, chance: random.Random) -> Iterator[str]:
    seen = set[str]()
    while True:
        if (spelling := spell(chance)) not in seen:
            seen.add(spelling)
            yield spelling


def _in_case(text: str, chance: random.Random) -> str:
    return "".join(chance.choice((it, it.upper(), it.lower())) for it in text)


def _in_form(text: str, chance: random.Random) -> str:
    return unicodedata.normalize(chance.choice(("NFC", "NFD")), text)


def _label(label: str, chance: random.Random) -> str:
    """Spells a part of a domain, which has a form in ASCII (RFC 5890)."""
    if not label.isascii() and chance.random() < 0.5:
        label = "xn--" + label.encode("punycode").decode()
        return _in_case(label, chance)
    return _in_form(_in_case(label, chance), chance)
