"""Options, answers and failures of a call, which both kinds of client share."""

import math
from typing import Generic, NamedTuple, TypeVar

import grpc

from twc_customer_client.consistency import Tokens
from twc_customer_client.retries import OnRetry

IDEMPOTENCY_KEY = "idempotency-key"

Metadata = tuple[tuple[str, str | bytes], ...]

T = TypeVar("T")


class CallSettings(NamedTuple):
    """How a client makes its calls: `timeout` replaces the default seconds of each attempt."""

    tenant: str
    timeout: float | None
    retry_for: float
    wait_for_ready: bool
    on_retry: OnRetry | None
    consistency: str | None


class CallOptions(NamedTuple):
    """Limits all attempts of one call to some seconds, and adds headers to it."""

    timeout: float | None = None
    headers: Metadata = ()

    @property
    def has_key(self) -> bool:
        """Whether the call has an idempotency key."""
        return any(name == IDEMPOTENCY_KEY for name, _ in self.headers)


class Sent(NamedTuple):
    """Holds the arguments that grpcio takes with the request of an attempt."""

    timeout: float | None
    metadata: Metadata
    wait_for_ready: bool
    consistency: Tokens


class Answer(NamedTuple, Generic[T]):
    """The response of a call, and the metadata that came before and after it."""

    value: T
    headers: dict[str, str | bytes]

    def header(self, name: str) -> str:
        """Returns the text of a header, which is empty if there is none."""
        value = self.headers.get(name, "")
        return value if isinstance(value, str) else ""


class Position:
    """Where to go on after the items that a stream has returned."""

    def __init__(self, cursor: str = "") -> None:
        self.cursor = cursor


def headers(**values: str | None) -> Metadata:
    """Returns headers, without those that are None; `_` in a name stands for `-`.

    Raises ValueError for a value that no header can have: grpcio's own error would
    show all headers, and the token among them.
    """
    given = {name.replace("_", "-"): value for name, value in values.items() if value is not None}
    for name, value in given.items():
        if not value.isascii() or not value.isprintable():
            raise ValueError(f"{name} must have visible ASCII characters only: {value!r}")
    return tuple(given.items())


class BrokenStream(grpc.RpcError):
    """Reports a stream that is of no use any more, although the server has not said so."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self._code = code
        self._message = message

    def code(self) -> grpc.StatusCode:
        """Returns the code of the failure."""
        return self._code

    def details(self) -> str:
        """Returns what is wrong with the stream."""
        return self._message

    def initial_metadata(self) -> tuple[()]:
        """Returns none."""
        return ()

    def trailing_metadata(self) -> tuple[()]:
        """Returns none."""
        return ()


def stalled(seconds: float) -> BrokenStream:
    """Returns the error of a stream without a response in time."""
    message = f"no response within {seconds:g} s"
    return BrokenStream(grpc.StatusCode.DEADLINE_EXCEEDED, message)


def ended_early() -> BrokenStream:
    """Returns the error of a stream that the server ended with OK before its last response."""
    message = "the server ended the stream before its last response"
    return BrokenStream(grpc.StatusCode.UNAVAILABLE, message)


def deadline_of(timeout: float | None, now: float) -> float:
    """Returns the end of all attempts of a call."""
    return math.inf if timeout is None else now + timeout
