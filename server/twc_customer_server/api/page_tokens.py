"""Tokens that say where to go on with what was asked for, and for nothing else.

A token is bound to its scope, such as a tenant and a query. That guards
against mistakes, not attacks: a forged token only names a place in what the
tenant may read anyway.
"""

import base64
import hashlib
from typing import NamedTuple

_DIGEST_BYTES = 16


class Token(NamedTuple):
    """A token that was read: what binds it to its scope, and the place that it names."""

    digest: bytes
    place: str

    def is_for(self, scope: object) -> bool:
        """Tells whether the token was made for a scope."""
        return self.digest == _digest(scope)


def make(scope: object, place: str) -> str:
    """The token of a place."""
    return base64.urlsafe_b64encode(_digest(scope) + place.encode()).decode()


def read(text: str) -> Token:
    """Reads a token. Raises ValueError if it is none at all."""
    decoded = base64.b64decode(text, b"-_", validate=True)
    return Token(decoded[:_DIGEST_BYTES], decoded[_DIGEST_BYTES:].decode())


def _digest(scope: object) -> bytes:
    return hashlib.blake2b(repr(scope).encode(), digest_size=_DIGEST_BYTES).digest()
