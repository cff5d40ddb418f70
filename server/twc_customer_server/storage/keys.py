"""The forms in which customers are compared, looked up and ordered."""

import hashlib
import unicodedata

import idna

# A B-tree key of PostgreSQL holds at most about 2,700 bytes, and several keys
# stand side by side; nor does a text of its hold NUL. What does not fit is
# compared by its digest, which begins with a character that no valid text holds.
MAX_KEY_BYTES = 512
_SHORT = MAX_KEY_BYTES // len("\U0010ffff".encode())
_DIGEST_MARK = "\x02"


def exact_key(text: str) -> str:
    """The key of a text that is compared exactly."""
    fits = len(text) <= _SHORT or len(text.encode()) <= MAX_KEY_BYTES
    if fits and "\0" not in text and not text.startswith(_DIGEST_MARK):
        return text
    return _DIGEST_MARK + hashlib.sha256(text.encode()).hexdigest()


def name_key(name: str) -> str:
    """The key of a name, the same for every case and Unicode form of it."""
    name = name.strip()
    return exact_key(name.lower() if name.isascii() else _fold(name))


def email_key(email: str) -> str:
    """The key of an e-mail address, the same for every case and spelling of it.

    An international domain and its ASCII form (RFC 5890) are one.
    """
    if email.isascii() and "xn--" not in email.lower():
        return email.lower()
    local, _, domain = email.rpartition("@")
    try:
        ascii_domain = idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        ascii_domain = _fold(domain)
    return f"{_fold(local)}@{ascii_domain.lower()}"


def _fold(text: str) -> str:
    # By way of upper case, where the two lower-case letters i of Turkish meet,
    # and without the dot that is all that is left of its dotted capital one.
    # Folding can undo normalisation, so it stands between two of them.
    folded = unicodedata.normalize("NFC", text).upper().casefold()
    return unicodedata.normalize("NFC", folded.replace("i\u0307", "i"))
