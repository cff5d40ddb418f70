"""The connection to the server: channel, call metadata, timeouts and retries."""

import queue
import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import grpc
from twc.customer.v2.customer_service_pb2_grpc import CustomerServiceStub

from twc_customer_client.call_thread import CallThread
from twc_customer_client.errors import CommandError, RpcFailure, read_rpc_error
from twc_customer_client.tokens import TokenSource

_CHANNEL_OPTIONS = (
    # Imports and exports notice within a minute that the server is gone.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # Reconnects soon after the server has restarted.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)

_FIRST_BACKOFF_SECONDS = 0.25
_MAX_BACKOFF_SECONDS = 10.0

Metadata = tuple[tuple[str, str | bytes], ...]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class ResponseStream(Protocol[T_co]):
    """A call with a stream of responses, as grpcio returns it."""

    def __next__(self) -> T_co:
        """Waits for the next response. Raises RpcError, and StopIteration at the end."""

    def cancel(self) -> object:
        """Cancels the call."""


class Endpoint(NamedTuple):
    """The server's host and port, and the PEM files that TLS uses."""

    address: str
    tls: bool
    ca: Path | None
    certificate: Path | None
    key: Path | None


class Timeouts(NamedTuple):
    """Seconds to wait for a response, and to keep retrying transient failures."""

    response: float
    retry: float


class Connection:
    """Calls the server for one tenant."""

    def __init__(
        self, endpoint: Endpoint, tenant: str, tokens: TokenSource, timeouts: Timeouts
    ) -> None:
        """Reads the TLS files; connects with the first call. Raises CommandError."""
        self._channel = _open_channel(endpoint)
        self._calls = CallThread()
        self._tenant = tenant
        self._tokens = tokens
        self._backoff = _Backoff(timeouts.retry)
        self._token_was_renewed = False
        self.timeout = timeouts.response
        self.stub = CustomerServiceStub(self._channel)

    def close(self) -> None:
        """Closes the channel, which cancels calls that are still open."""
        self._calls.end()
        self._channel.close()

    def call(self, rpc: Callable[[Metadata], T]) -> T:
        """Returns the result of `rpc`, which it retries on failure. Raises CommandError."""
        while True:
            metadata = self._metadata()
            try:
                result = self._calls.submit(partial(rpc, metadata)).result()
            except grpc.RpcError as error:
                self.wait_to_retry(error)
            else:
                self._note_success()
                return result

    def open_stream(self, rpc: Callable[[Metadata], ResponseStream[T]]) -> ResponseStream[T]:
        """Starts a call with a stream of responses. Raises CommandError if there is no token."""
        metadata = self._metadata()
        return self._calls.submit(partial(rpc, metadata)).result()

    def next_response(self, stream: ResponseStream[T]) -> T | None:
        """Returns the next response of a stream, or None at its end. Raises RpcError.

        Cancels a stream that does not respond in time, which is a failure to retry.
        """
        pending = self._calls.submit(lambda: next(stream, None))
        try:
            response = pending.result(self.timeout)
        except queue.Empty:
            stream.cancel()
            response = pending.result()
        self._note_success()
        return response

    def wait_to_retry(self, error: grpc.RpcError) -> None:
        """Waits until a failed call may be retried. Raises CommandError if it may not."""
        failure = read_rpc_error(error)
        if failure.code == grpc.StatusCode.UNAUTHENTICATED and not self._token_was_renewed:
            self._token_was_renewed = True
            if self._tokens.renew():
                return
        if not failure.is_transient:
            raise CommandError(failure.describe())
        self._backoff.wait(failure)

    def _metadata(self) -> Metadata:
        authorization = f"Bearer {self._tokens.current()}"
        return (("authorization", authorization), ("x-twc-tenant", self._tenant))

    def _note_success(self) -> None:
        self._backoff.reset()
        self._token_was_renewed = False


class _Backoff:
    """Waits between retries, exponentially longer, until nothing has succeeded for `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._failures = 0
        self._first_failure = 0.0

    def reset(self) -> None:
        """Notes a success: the next failure counts as the first."""
        self._failures = 0

    def wait(self, failure: RpcFailure) -> None:
        """Waits at least as long as the server asks. Raises CommandError after `seconds`."""
        now = time.monotonic()
        if not self._failures:
            self._first_failure = now
        self._failures += 1
        delay = max(failure.retry_after, self._delay())
        failing = now - self._first_failure
        if failing + delay > self._seconds:
            raise CommandError(
                f"gave up after {failing:.0f} seconds without a response: {failure.describe()}"
            )
        time.sleep(delay)

    def _delay(self) -> float:
        """Returns the next delay, with jitter so that many clients do not retry at once."""
        doubled = _FIRST_BACKOFF_SECONDS * 2.0 ** min(self._failures - 1, 10)
        return min(_MAX_BACKOFF_SECONDS, doubled) * random.uniform(0.5, 1)  # noqa: S311 - no secret


def _open_channel(endpoint: Endpoint) -> grpc.Channel:
    if not (endpoint.tls or endpoint.ca or endpoint.certificate):
        return grpc.insecure_channel(endpoint.address, _CHANNEL_OPTIONS)
    credentials = grpc.ssl_channel_credentials(
        _read_pem(endpoint.ca), _read_pem(endpoint.key), _read_pem(endpoint.certificate)
    )
    return grpc.secure_channel(endpoint.address, credentials, _CHANNEL_OPTIONS)


def _read_pem(path: Path | None) -> bytes | None:
    try:
        return path.read_bytes() if path else None
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from None
