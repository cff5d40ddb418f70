"""Requests that may be repeated: those that carry an Idempotency-Key."""

import hashlib
import re
from collections.abc import Iterable
from datetime import datetime

from google.protobuf.message import Message

from twc_customer_server.customers import dates
from twc_customer_server.errors import InvalidInput, Violation
from twc_customer_server.storage.idempotency import Repeatable

HEADER = "idempotency-key"

_is_key = re.compile(r"[!-~]{1,255}", re.ASCII).fullmatch


def read(
    key: str | None, rpc: str, requests: Iterable[Message], now: datetime
) -> Repeatable | None:
    """The request of an RPC, as it came, if it has a key. Raises InvalidInput."""
    if key is None:
        return None
    if not _is_key(key):
        raise InvalidInput(
            [Violation("Idempotency-Key", "must be 1 to 255 visible ASCII characters")]
        )
    digest = hashlib.blake2b(rpc.encode(), digest_size=32)
    for request in requests:
        encoded = request.SerializeToString(deterministic=True)
        digest.update(len(encoded).to_bytes(8))
        digest.update(encoded)
    return Repeatable(key, digest.digest(), dates.to_milliseconds(now))
