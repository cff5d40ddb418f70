"""Tokens of keyset pagination: each names the place at which a query continues.

A token is bound to its scope, such as a tenant and a query. That guards
against mistakes, not attacks: a forged token can only name a place in the
data that the tenant may read anyway.
"""

import base64
import hashlib
from typing import NamedTuple

_DIGEST_BYTES = 16

# A place is at most an id and two keys of a name.
_MAX_LENGTH = 1536


class Token(NamedTuple):
    """A parsed token: the digest of its scope, and the place that it names."""

    digest: bytes
    place: str

    def is_for(self, scope: object) -> bool:
        """Tells whether the token is bound to a scope."""
        return self.digest == _digest(scope)


def make(scope: object, place: str) -> str:
    """Returns the token of a place, bound to a scope."""
    return base64.urlsafe_b64encode(_digest(scope) + place.encode()).decode()


def parse(text: str) -> Token:
    """Parses a token. Raises ValueError if it is malformed."""
    if len(text) > _MAX_LENGTH:
        raise ValueError("too long")
    decoded = base64.b64decode(text, b"-_", validate=True)
    return Token(decoded[:_DIGEST_BYTES], decoded[_DIGEST_BYTES:].decode())


def _digest(scope: object) -> bytes:
    return hashlib.blake2b(repr(scope).encode(), digest_size=_DIGEST_BYTES).digest()
