"""Requests with an idempotency key: what tells them apart, and how their answers are kept."""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import TypeVar

from google.protobuf.message import Message

from twc_customer_server.api import packing
from twc_customer_server.customers.fields import to_milliseconds
from twc_customer_server.errors import InvalidInput, OutcomeUnknown, Violation
from twc_customer_server.storage.idempotency import IdempotencyStore, IdempotentRequest

M = TypeVar("M", bound=Message)

_is_key = re.compile(r"[!-~]{1,255}", re.ASCII).fullmatch


class KeyedRequest:
    """A request with an idempotency key, of one or more messages."""

    def __init__(self, key: str, rpc: str, now: datetime) -> None:
        """Raises InvalidInput if the key is none."""
        if not _is_key(key):
            raise InvalidInput(
                [Violation("Idempotency-Key", "must be 1 to 255 visible ASCII characters")]
            )
        self._key = key
        self._now = now
        self._digest = hashlib.blake2b(rpc.encode(), digest_size=32)
        self._messages: list[bytes] = []

    def record(self, messages: Iterable[M]) -> Iterator[M]:
        """Yields the request's messages, and records each as it was received."""
        for message in messages:
            encoded = message.SerializeToString(deterministic=True)
            self._digest.update(len(encoded).to_bytes(8))
            self._digest.update(encoded)
            self._messages.append(encoded)
            yield message

    def identity(self) -> IdempotentRequest:
        """Returns the key and the digest of the messages so far."""
        return IdempotentRequest(self._key, self._digest.digest(), to_milliseconds(self._now))

    def run(
        self,
        store: IdempotencyStore,
        tenant: str,
        action: Callable[[], Sequence[bytes]],
        *,
        bulk: bool = False,
    ) -> bytes:
        """Runs an action once for all repeats of this request; returns its answer, joined.

        The answer has a part for each message of the request. Raises what
        `IdempotencyStore.run_idempotent` raises.
        """
        try:
            packed = store.run_idempotent(
                tenant, self.identity(), lambda: packing.pack(action(), self._messages), bulk=bulk
            )
        except OutcomeUnknown as error:
            raise OutcomeUnknown("send it again with the same Idempotency-Key") from error
        return packing.unpack(packed, self._messages)
