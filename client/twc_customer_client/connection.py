"""The connection to the service: where it is, whose calls they are, and trying them again."""

import threading
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import grpc
from twc.customer.v2.customer_service_pb2_grpc import CustomerServiceStub

from twc_customer_client import failures
from twc_customer_client.problems import Problem
from twc_customer_client.retries import Patience
from twc_customer_client.tokens import Tokens

_OPTIONS = (
    # Imports and exports notice within a minute that the other side is gone.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # A server that starts anew is found soon.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)

Metadata = tuple[tuple[str, str | bytes], ...]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Stream(Protocol[T_co]):
    """A call that is answered in parts."""

    def __next__(self) -> T_co:
        """The next part."""

    def cancel(self) -> object:
        """Ends it."""


class Address(NamedTuple):
    """Where the service is, and the files that TLS needs."""

    server: str
    tls: bool
    ca: Path | None
    certificate: Path | None
    key: Path | None


class Limits(NamedTuple):
    """How long to wait for an answer, and to try again what fails for now; in seconds."""

    answer: float
    retry: float


class Connection:
    """Calls the service for one tenant."""

    def __init__(self, address: Address, tenant: str, tokens: Tokens, limits: Limits) -> None:
        """Reads the files of TLS, and does not connect yet. Raises Problem."""
        self._channel = _channel(address)
        self._tenant = tenant
        self._tokens = tokens
        self._patience = Patience(limits.retry)
        self._renewed = False
        self.seconds = limits.answer
        self.stub = CustomerServiceStub(self._channel)

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()

    def metadata(self) -> Metadata:
        """Whose call it is that begins now. Raises Problem if there is no token."""
        authorization = f"Bearer {self._tokens.current()}"
        return (("authorization", authorization), ("x-twc-tenant", self._tenant))

    def succeeded(self) -> None:
        """Notes that the service answered."""
        self._patience.succeeded()
        self._renewed = False

    def recover(self, error: grpc.RpcError) -> None:
        """Waits until a failed call may be tried again. Raises Problem if it may not."""
        failure = failures.read(error)
        if failure.code == grpc.StatusCode.UNAUTHENTICATED and not self._renewed:
            self._renewed = True
            if self._tokens.renew():
                return
        if not failure.is_passing:
            raise Problem(failure.sentence())
        self._patience.wait(failure)

    def next_of(self, stream: Stream[T]) -> T | None:
        """The next answer of a stream, or None at its end. Raises RpcError.

        A stream that does not answer in time is ended; as any that breaks off
        it is tried again.
        """
        timer = threading.Timer(self.seconds, stream.cancel)
        timer.daemon = True
        timer.start()
        try:
            answer = next(stream, None)
        finally:
            timer.cancel()
        self.succeeded()
        return answer


def _channel(address: Address) -> grpc.Channel:
    if not (address.tls or address.ca or address.certificate):
        return grpc.insecure_channel(address.server, _OPTIONS)
    credentials = grpc.ssl_channel_credentials(
        _pem(address.ca), _pem(address.key), _pem(address.certificate)
    )
    return grpc.secure_channel(address.server, credentials, _OPTIONS)


def _pem(path: Path | None) -> bytes | None:
    try:
        return path.read_bytes() if path else None
    except OSError as error:
        raise Problem(f"{path} cannot be read: {error.strerror}") from None
