"""Where bearer tokens come from: a text, a file, a function, or an issuer (`oauth`)."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

import grpc

from twc_customer_client.errors import Failure, Unauthenticated


class TokenError(Unauthenticated):
    """There is no token for a call: its source has none, or none that can be one."""

    def __init__(self, message: str) -> None:
        super().__init__(Failure(message, grpc.StatusCode.UNAUTHENTICATED))

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[type["TokenError"], tuple[str]]:
        return type(self), (self.message,)


@runtime_checkable
class TokenSource(Protocol):
    """Provides the bearer tokens of calls, to any number of threads."""

    def current(self) -> str:
        """Returns the token for a call that starts now. Raises TokenError."""

    def renew(self, rejected: str) -> bool:
        """Looks for another token than a rejected one; returns whether it has one."""

    def is_at_hand(self) -> bool:
        """Tells whether `current` returns at once, without a call of its own."""


class BoundedTokenSource:
    """A source that waits for its tokens, and no longer than a call has time."""

    def current_within(self, seconds: float) -> str:
        """Returns the token for a call that starts now. Raises TokenError."""
        raise NotImplementedError

    def renew_within(self, rejected: str, seconds: float) -> bool:
        """Looks for another token than a rejected one. Raises TokenError."""
        raise NotImplementedError


class FixedToken:
    """A token that stays the same."""

    def __init__(self, token: str) -> None:
        self._token = validated(token)

    def current(self) -> str:
        """Returns the token."""
        return self._token

    def renew(self, rejected: str) -> bool:
        """Tells whether the rejected token was another one."""
        return rejected != self._token

    def is_at_hand(self) -> bool:
        """Returns True."""
        return True


class TokenFile:
    """A token in a file that another program renews; it is read when the file has changed."""

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        self._read: tuple[tuple[int, int, int], str] | None = None

    def current(self) -> str:
        """Returns the token that the file has now. Raises TokenError."""
        try:
            version = _version(self._path.stat())
            if self._read is None or self._read[0] != version:
                self._read = (version, validated(self._path.read_text("utf-8")))
        except (OSError, UnicodeDecodeError) as error:
            reason = (error.strerror if isinstance(error, OSError) else "") or "it is not text"
            raise TokenError(f"the token file {self._path} cannot be read: {reason}") from None
        return self._read[1]

    def renew(self, rejected: str) -> bool:
        """Returns whether the file has another token now."""
        self._read = None
        return self.current() != rejected

    def is_at_hand(self) -> bool:
        """Returns True: a file of this machine is read in no time."""
        return True


class TokenFunction:
    """Tokens that a function returns, which is called for each call and may keep them."""

    def __init__(self, function: Callable[[], str]) -> None:
        self._function = function

    def current(self) -> str:
        """Calls the function. Raises TokenError if it returns no token."""
        return validated(self._function())

    def renew(self, rejected: str) -> bool:
        """Returns whether the function has another token now."""
        return self.current() != rejected

    def is_at_hand(self) -> bool:
        """Returns False: the function may call an issuer."""
        return False


class _Caller(grpc.AuthMetadataPlugin):
    """Tells gRPC the tenant and the token of each call."""

    def __init__(self, tenant: str, tokens: TokenSource) -> None:
        self._tenant = tenant
        self._tokens = tokens

    def __call__(
        self, _: grpc.AuthMetadataContext, callback: grpc.AuthMetadataPluginCallback
    ) -> None:
        """Passes on the metadata of a call, or why there is no token."""
        try:
            metadata = caller_metadata(self._tenant, self._tokens.current())
        except Exception as error:  # noqa: BLE001 - gRPC fails the call with it
            callback((), error)
        else:
            callback(metadata, None)


# A client takes any of these as its token.
Token = str | TokenSource | Callable[[], str]


def token_source(token: Token) -> TokenSource:
    """Returns the source of what a client was given. Raises TokenError."""
    if isinstance(token, str):
        return FixedToken(token)
    return token if isinstance(token, TokenSource) else TokenFunction(token)


def call_credentials(tenant: str, token: Token) -> grpc.CallCredentials:
    """Returns tenant and token as credentials for stubs of one's own, on an encrypted channel.

    The clients need none: they send both themselves, also where gRPC takes no
    credentials. Raises TokenError.
    """
    return grpc.metadata_call_credentials(_Caller(tenant, token_source(token)))


def caller_metadata(tenant: str, token: str) -> tuple[tuple[str, str], ...]:
    """Returns the metadata by which the service knows the caller."""
    return (("authorization", f"Bearer {token}"), ("x-twc-tenant", tenant))


def validated(token: str) -> str:
    """Returns a token without white space around it. Raises TokenError if none can be like it."""
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise TokenError("the token is empty, or has characters that no bearer token has")
    return token


def _version(status: os.stat_result) -> tuple[int, int, int]:
    """Returns what differs between two versions of a file, also if one replaces the other."""
    return (status.st_mtime_ns, status.st_ino, status.st_size)
