"""JSON that is read strictly, and what ijson would not survive in it or change silently."""

import json
import re
from typing import Any

# Deeper than any customer; ijson takes memory by the square of the depth.
_MAX_DEPTH = 200

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_DEEPER = frozenset(b"[{")


def loads(text: str) -> Any:
    """Reads JSON as RFC 8259 has it, no member twice, and not too deep. Raises ValueError."""
    if text.count("[") + text.count("{") > _MAX_DEPTH:
        JsonGuard().check(text.encode(errors="surrogatepass"))
    return json.loads(text, object_pairs_hook=_members, parse_constant=_no_constant)


class JsonGuard:
    """Looks at JSON piece by piece before it is parsed."""

    def __init__(self) -> None:
        self._depth = 0
        # A string that goes on in the next piece.
        self._open = b""

    def check(self, piece: bytes) -> None:
        """Raises ValueError if the piece is nested too deeply, or has half a character."""
        text = self._open + piece
        if self._open and b'"' not in piece:
            self._open = text
            return
        if rb"\u" in text:
            _check_strings(text)
        bare = _STRING.sub(b"", text)
        begun = bare.find(b'"')
        self._open = bare[begun:] if begun >= 0 else b""
        brackets = bare[:begun] if begun >= 0 else bare
        for bracket in brackets.translate(None, _ALL_BUT_BRACKETS):
            self._depth += 1 if bracket in _DEEPER else -1
            if self._depth > _MAX_DEPTH:
                raise ValueError(f"it is nested more than {_MAX_DEPTH} deep")


def _check_strings(text: bytes) -> None:
    """Raises ValueError if an escape says half of a surrogate pair: ijson makes that a `?`."""
    for string in _STRING.findall(text):
        if rb"\u" in string:
            try:
                json.loads(string).encode()
            except UnicodeEncodeError:
                raise ValueError("it has half of a surrogate pair") from None
            except ValueError:
                continue  # which ijson refuses, too


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("an object has a member twice")
    return members


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
