"""Requests with an idempotency key: what tells them apart, and how their answers are kept."""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Self, TypeVar

from google.protobuf.message import Message
from twc.customer.v2.customer_pb2 import Customer

from twc_customer_server.api import packing
from twc_customer_server.customers.fields import to_milliseconds
from twc_customer_server.errors import InvalidInput, OutcomeUnknown, Violation
from twc_customer_server.middleware.rpc import Call
from twc_customer_server.storage.idempotency import IdempotencyStore, IdempotentRequest

M = TypeVar("M", bound=Message)

_is_key = re.compile(r"[!-~]{1,255}", re.ASCII).fullmatch


class Answer(NamedTuple):
    """An answer: a part for each message of the request, and the ids of the customers in it."""

    parts: Sequence[bytes]
    customer_ids: Sequence[str]

    @classmethod
    def of_one(cls, body: bytes) -> Self:
        """Returns the answer with one customer, encoded, or with none."""
        return cls([body], [Customer.FromString(body).id] if body else [])


class KeyedRequest:
    """A request with an idempotency key, of one or more messages."""

    @classmethod
    def of(cls, call: Call, rpc: str, *messages: Message) -> Self | None:
        """Returns the request as it was received, before it is modified, if it has a key.

        Raises InvalidInput if the key is none.
        """
        key = call.header("idempotency-key")
        if key is None:
            return None
        keyed = cls(key, rpc, _now())
        for _ in keyed.record(messages):
            pass
        return keyed

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
        action: Callable[[], Answer],
        *,
        bulk: bool = False,
    ) -> bytes:
        """Runs an action once for all repeats of this request; returns its answer, joined.

        Raises what `IdempotencyStore.run_idempotent` raises.
        """
        customer_ids: Sequence[str] = ()

        def pack() -> bytes:
            nonlocal customer_ids
            parts, customer_ids = action()
            return packing.pack(parts, self._messages)

        try:
            packed = store.run_idempotent(
                tenant, self.identity(), pack, lambda: customer_ids, bulk=bulk
            )
        except OutcomeUnknown as error:
            raise OutcomeUnknown("send it again with the same Idempotency-Key") from error
        return packing.unpack(packed, self._messages)


def _now() -> datetime:
    return datetime.now(UTC)
