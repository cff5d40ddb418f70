"""The tokens by which the service keeps what a client has written, and seen, in its later reads."""

import threading
from collections.abc import Iterable, Mapping
from itertools import count

HEADER = "x-twc-consistency-token"

# For whatever a replica has, or for what is newest.
ANY = "any"
LATEST = "latest"

# Tokens that are sent at a time, of calls that overlap; with more, reads are of what is newest.
_MOST = 8

# The tokens that a call was sent with, by number.
Tokens = Mapping[int, str]


class ConsistencyTokens:
    """Keeps the tokens of the answers so far, which say what the next call must see.

    A token takes the place of those that its call was sent with. Of calls that overlap it is
    not known which is the newest, so that all are sent, and the service takes that. Threads share
    it.
    """

    def __init__(self, first: str | None) -> None:
        """Sends nothing, ever, without what the first call is sent with."""
        self._numbers = count()
        self._lock = threading.Lock()
        self._is_used = first is not None
        self._tokens: dict[int, str] = {}
        if first is not None:
            self._tokens[next(self._numbers)] = first

    @property
    def value(self) -> str | None:
        """Returns the header of the next call; None if there is to be none."""
        return header_of(self.current())

    def current(self) -> Tokens:
        """Returns the tokens to send."""
        with self._lock:
            return dict(self._tokens)

    def answered(self, sent: Tokens, token: str) -> None:
        """Notes the answer to a call; without a token the next read is of what is newest."""
        with self._lock:
            self._add(token or LATEST, sent)

    def doubt(self) -> None:
        """Has the next read be of what is newest: a write may have been made, or a stream read."""
        with self._lock:
            self._add(LATEST, [it for it, token in self._tokens.items() if token == LATEST])

    def _add(self, token: str, replaced: Iterable[int]) -> None:
        """Keeps a token in place of others, unless none is ever sent; the lock is held."""
        if self._is_used:
            for number in replaced:
                self._tokens.pop(number, None)
            self._tokens[next(self._numbers)] = token


def header_of(tokens: Tokens) -> str | None:
    """Returns the header that has some tokens, None if there are none."""
    values = {*tokens.values()}
    if LATEST in values or len(values) > _MOST:
        return LATEST
    return ", ".join(sorted(values - {ANY} or values)) or None
