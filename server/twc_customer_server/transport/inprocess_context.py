# ruff: noqa: D102 - grpc.ServicerContext says what its methods do
"""Tells a handler of a call that Envoy passes to Python, and takes what it says of the response."""

from collections.abc import Callable, Mapping
from typing import Any, NoReturn, Protocol

import grpc

from twc_customer_server.transport.interface import Metadata


class HandledCall(Protocol):
    """The call that a context is of."""

    @property
    def metadata(self) -> Metadata:
        """The headers of the call."""

    def peer(self) -> str:
        """Returns where the call comes from."""

    def is_active(self) -> bool:
        """Tells whether the call has neither ended nor been cancelled."""

    def time_remaining(self) -> float | None:
        """Returns the seconds until the deadline; None if there is none."""

    def on_end(self, callback: Callable[[], object]) -> None:
        """Calls back when the call has ended, or at once if it has."""

    def cancel(self) -> None:
        """Cancels the call."""

    def begin(self, metadata: Metadata | None = None) -> None:
        """Sends the headers, and metadata among them."""


class Aborted(Exception):
    """Ends a handler; the context has the status of its call."""


class Context(grpc.ServicerContext):
    """The context of one run of a handler; has its status, which is UNKNOWN at first."""

    def __init__(self, call: HandledCall) -> None:
        self._call = call
        self.is_aborted = False
        self.status = grpc.StatusCode.UNKNOWN
        self.message = ""
        self.trailing: Metadata | None = None

    def invocation_metadata(self) -> Any:
        return self._call.metadata

    def peer(self) -> str:
        return self._call.peer()

    def peer_identities(self) -> None:
        """Returns None: Envoy has verified the client's certificate, and does not pass it on."""

    def peer_identity_key(self) -> None:
        """Returns None, as `peer_identities`."""

    def auth_context(self) -> Mapping[str, Any]:
        return {}

    def is_active(self) -> bool:
        return self._call.is_active()

    def time_remaining(self) -> float | None:  # type: ignore[override]
        return self._call.time_remaining()

    def cancel(self) -> bool:
        self._call.cancel()
        return True

    def add_callback(self, callback: Callable[[], object]) -> bool:
        is_active = self._call.is_active()
        if is_active:
            self._call.on_end(callback)
        return is_active

    def send_initial_metadata(self, initial_metadata: Any) -> None:
        self._call.begin(initial_metadata)

    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        self.trailing = trailing_metadata

    def trailing_metadata(self) -> Any:
        return self.trailing

    def set_compression(self, compression: grpc.Compression) -> None:
        """Does nothing: Envoy compresses responses."""

    def disable_next_message_compression(self) -> None:
        """Does nothing, as `set_compression`."""

    def set_code(self, code: grpc.StatusCode) -> None:
        self.status = code

    def set_details(self, details: str) -> None:
        self.message = details

    def code(self) -> grpc.StatusCode:
        return self.status

    def details(self) -> str:
        return self.message

    def fail(self, error: Exception) -> None:
        """Sets the status of a call whose handler raised an error, which may be private."""
        if not self.is_aborted:
            self.status = grpc.StatusCode.UNKNOWN
            self.message = f"the handler ended with {type(error).__name__}"

    def abort(self, code: grpc.StatusCode, details: str) -> NoReturn:
        self.status, self.message, self.is_aborted = code, details, True
        raise Aborted

    def abort_with_status(self, status: grpc.Status) -> NoReturn:
        self.trailing = status.trailing_metadata
        self.abort(status.code, status.details)
