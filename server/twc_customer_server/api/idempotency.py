"""Parses the idempotency key of a request."""

import hashlib
import re
from collections.abc import Iterable
from datetime import datetime

from google.protobuf.message import Message

from twc_customer_server.customers.fields import to_milliseconds
from twc_customer_server.errors import InvalidInput, Violation
from twc_customer_server.storage.idempotency import IdempotentRequest

_is_key = re.compile(r"[!-~]{1,255}", re.ASCII).fullmatch


def idempotent_request(
    key: str, rpc: str, requests: Iterable[Message], now: datetime
) -> IdempotentRequest:
    """Returns the key and the digest of a request, as it was received. Raises InvalidInput."""
    if not _is_key(key):
        raise InvalidInput(
            [Violation("Idempotency-Key", "must be 1 to 255 visible ASCII characters")]
        )
    digest = hashlib.blake2b(rpc.encode(), digest_size=32)
    for request in requests:
        encoded = request.SerializeToString(deterministic=True)
        digest.update(len(encoded).to_bytes(8))
        digest.update(encoded)
    return IdempotentRequest(key, digest.digest(), to_milliseconds(now))
