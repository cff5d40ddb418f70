"""Entity tags of customers, and the conditions that requests make of them (RFC 9110)."""

import hashlib
import re

from twc_customer_server.errors import EtagMismatch

_DIGEST_BYTES = 12

# Weak or not: what a gateway compresses it sends with a weak tag, and the
# customer is the same.
_TAGS = re.compile(r'"[^"]*"')


def of(body: bytes) -> str:
    """The tag of a stored customer: another one after every change of it."""
    return f'"{hashlib.blake2b(body, digest_size=_DIGEST_BYTES).hexdigest()}"'


def matches(condition: str, tag: str) -> bool:
    """Tells whether If-Match or If-None-Match names a tag, or any."""
    return condition.strip() == "*" or tag in _TAGS.findall(condition)


def check(condition: str | None, body: bytes) -> None:
    """Refuses a stored customer that If-Match, if there is one, does not name.

    Raises EtagMismatch.
    """
    if condition is not None and not matches(condition, of(body)):
        raise EtagMismatch
