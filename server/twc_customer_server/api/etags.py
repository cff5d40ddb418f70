"""Entity tags of customers, and the conditions on them (RFC 9110, section 13)."""

import hashlib
import re
from collections.abc import Callable
from functools import partial

from twc_customer_server.errors import EtagMismatch
from twc_customer_server.middleware.rpc import Call

_ETAG_BYTES = 12

# Weak or not: a gateway that compresses a response makes its tag weak.
_ETAGS = re.compile(r'"[^"]*"')


def etag(body: bytes) -> str:
    """Returns the entity tag of a stored customer, which every change of it changes (RFC 9110)."""
    return f'"{hashlib.blake2b(body, digest_size=_ETAG_BYTES).hexdigest()}"'


def matches(condition: str, tag: str) -> bool:
    """Tells whether If-Match or If-None-Match names an entity tag, or any."""
    return condition.strip() == "*" or tag in _ETAGS.findall(condition)


def require_match(condition: str, body: bytes) -> None:
    """Raises EtagMismatch unless If-Match names the entity tag of a stored customer."""
    if not matches(condition, etag(body)):
        raise EtagMismatch


def precondition_of(call: Call) -> Callable[[bytes], None] | None:
    """Returns the check of a stored customer by If-Match, if the call has that."""
    condition = call.header("if-match")
    return None if condition is None else partial(require_match, condition)


def respond_unless_cached(body: bytes, call: Call) -> bytes:
    """Responds with a stored customer, or with 304 if If-None-Match names its entity tag."""
    tag = etag(body)
    condition = call.header("if-none-match")
    if condition is not None and matches(condition, tag):
        call.set_status(304, ("etag", tag))
        return b""
    call.set_status(200, ("etag", tag))
    return body
