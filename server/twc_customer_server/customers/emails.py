"""Rules of e-mail addresses, and what is wrong with those that break them."""

import re
import unicodedata
from collections.abc import Iterator, Sequence

import email_validator

from twc_customer_server.customers import fields

NOT_AN_EMAIL = "must be an e-mail address, such as ada@example.com"

# Reserved names such as `.test` and `.invalid` serve in test systems and for
# customers who were made anonymous.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()

# Matches nearly every address, none that the library would refuse, at a
# hundredth of the library's time.
_PLAIN = re.compile(
    r"[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*@(?:[a-z0-9]{1,30}(?:-[a-z0-9]{1,30})?\.){1,3}[a-z]{2,12}",
    re.ASCII | re.IGNORECASE,
).fullmatch
_MAX_LOCAL_BYTES = 64
_MAX_LABEL_LENGTH = 63
_LABEL_LIMIT = f"which may be {_MAX_LABEL_LENGTH}"
_ACE_PREFIX = "xn--"

_QUOTE = '"'
_DOTS = re.compile(r"\.{2,}")
# ASCII characters that may stand in a local part without quotes: `atext` of RFC 5322, and dots.
_UNQUOTED = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]").match
_DOMAIN = re.compile(r"[A-Za-z0-9.-]").match

# Characters that show nothing: letters and marks that are no white space, which the library
# accepts; and others, of which it accepts those that some scripts need.
_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
_INVISIBLE = _FILLERS | frozenset("\t\n\r\u2800") | frozenset(map(chr, range(0xFE00, 0xFE10)))
_INVISIBLE_CATEGORIES = frozenset({"Cf", "Zl", "Zp", "Zs"})


def problem(text: str, *, accept_dots: bool = False) -> str | None:
    """Returns the rule that an e-mail address (RFC 5321, RFC 6531) breaks, or None.

    Its domain has a dot. With `accept_dots`, dots may also follow one another
    and end the part before @, as some carriers of mobile phones let them.
    """
    if len(text) > fields.MAX_EMAIL_LENGTH:
        return fields.text_problem(text, fields.MAX_EMAIL_LENGTH)
    if _PLAIN(text) and text.index("@") <= _MAX_LOCAL_BYTES:
        return None
    if _is_email(text) or (accept_dots and _is_email(_without_extra_dots(text))):
        return None
    fault = next(_faults(text), None)
    return f"{NOT_AN_EMAIL}; {fault}" if fault else NOT_AN_EMAIL


def _is_email(text: str) -> bool:
    local, _, domain = text.rpartition("@")
    if len(local.encode()) > _MAX_LOCAL_BYTES or not _has_possible_length(domain):
        return False
    if not _FILLERS.isdisjoint(text):
        return False
    try:
        email_validator.validate_email(
            text, check_deliverability=False, strict=True, allow_quoted_local=True
        )
    except email_validator.EmailNotValidError:
        return False
    return True


def _without_extra_dots(text: str) -> str:
    """Removes dots before @ from an address that is not too long with them."""
    local, at, domain = text.rpartition("@")
    if len(local.encode()) > _MAX_LOCAL_BYTES or local.startswith(_QUOTE):
        return text
    return f"{_DOTS.sub('.', local).removesuffix('.')}{at}{domain}"


def _has_possible_length(domain: str) -> bool:
    """Tells whether a domain may be short enough in its ASCII form (RFC 5890).

    The library finds out by converting all of it, which costs a thousand times as much.
    """
    mapped = unicodedata.normalize("NFKC", domain)
    international = sum(not label.isascii() for label in mapped.split("."))
    return len(mapped) + international * len(_ACE_PREFIX) <= fields.MAX_EMAIL_LENGTH


def _faults(text: str) -> Iterator[str]:
    """Finds what is wrong with a text that is no e-mail address, and where."""
    for position, character in enumerate(text, 1):
        if character != " " and _is_invisible(character):
            yield f"has an invisible character at position {position}, {_name(character)}"
    local, at, domain = text.rpartition("@")
    if not at:
        yield "has no @"
        return
    if "@" in local and not local.startswith(_QUOTE):
        yield f"has a second @ at position {text.index('@', text.index('@') + 1) + 1}"
    yield from _faults_of_local_part(local)
    yield from _faults_of_domain(domain, len(local) + len(at))


def _faults_of_local_part(local: str) -> Iterator[str]:
    if not local:
        yield "has nothing before @"
    if (length := len(local.encode())) > _MAX_LOCAL_BYTES:
        yield f"has {length} bytes before @, which may be {_MAX_LOCAL_BYTES}"
    if local.startswith(_QUOTE):
        if len(local) == 1 or not local.endswith(_QUOTE):
            yield "has no quotation mark before @ that ends the one at position 1"
        elif local == _QUOTE + _QUOTE:
            yield "has nothing between the quotation marks"
        return
    for position, character in enumerate(local, 1):
        if character.isascii() and not _UNQUOTED(character):
            yield f"has {_shown(character)} at position {position}"
    yield from _faults_of_dots(local, 0, "before @")


def _faults_of_domain(domain: str, offset: int) -> Iterator[str]:
    """Finds faults of a domain that `offset` characters precede."""
    if not domain:
        yield "has nothing after @"
        return
    if domain.startswith("["):
        yield "has an IP address after @, not a domain"
    for position, character in enumerate(domain, offset + 1):
        if not _DOMAIN(character) and (character.isascii() or not _is_letter(character)):
            yield f"has {_shown(character)} at position {position}, which no domain has"
    yield from _faults_of_dots(domain, offset, "after @")
    if "." not in domain:
        yield "has no dot after @"
    yield from _faults_of_labels(domain.split("."), offset)


def _faults_of_labels(labels: Sequence[str], offset: int) -> Iterator[str]:
    """Finds faults of the parts of a domain that `offset` characters precede."""
    for label in labels:
        position = offset + 1
        if (length := len(label)) > _MAX_LABEL_LENGTH:
            yield f"has {length} characters without a dot from position {position}, {_LABEL_LIMIT}"
        elif label.startswith("-"):
            yield f"has a hyphen at position {position}, where a part of a domain begins"
        elif label.endswith("-"):
            yield f"has a hyphen at position {offset + length}, where a part of a domain ends"
        elif label[2:4] == "--" and not label.lower().startswith(_ACE_PREFIX):
            yield f"has two hyphens at position {position + 2}, which a domain has behind xn alone"
        offset += length + 1
    if labels[-1].isdecimal():
        yield "ends in a number, which is no top-level domain"
    elif labels[-1][-1:].isdecimal():
        yield "ends in a digit, as no top-level domain does"


def _faults_of_dots(part: str, offset: int, place: str) -> Iterator[str]:
    if found := _DOTS.search(part):
        yield f"has two dots in a row at position {offset + found.start() + 1}"
    if part.startswith("."):
        yield f"has a dot at the beginning of what is {place}"
    if part.endswith("."):
        yield f"has a dot at the end of what is {place}"


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) in _INVISIBLE_CATEGORIES or character in _INVISIBLE


def _is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN"


def _name(character: str) -> str:
    code = f"U+{ord(character):04X}"
    return f"{unicodedata.name(character, 'a control character')} ({code})"


def _shown(character: str) -> str:
    return "a space" if character == " " else f"the character {character}"
