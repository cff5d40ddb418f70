"""Bearer tokens: given, in a file that may be renewed, or obtained by client credentials."""

import base64
import binascii
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote_plus, urlsplit

import httpx

from twc_customer_client.problems import Problem

# A token is renewed this long before it expires, or when it has a third of
# its life left if that is shorter.
_MARGIN_SECONDS = 60.0
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Tokens(Protocol):
    """Where a command gets its token from."""

    def current(self) -> str:
        """The token for a call that begins now. Raises Problem."""

    def renew(self) -> bool:
        """Looks for another token than the last, which was refused; tells whether there is."""


class GivenToken:
    """One token, for as long as it lasts."""

    def __init__(self, token: str) -> None:
        self._token = _checked(token)

    def current(self) -> str:
        """The token."""
        return self._token

    def renew(self) -> bool:
        """Tells that there is no other."""
        return False


class TokenFile:
    """A file that something else keeps renewing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = ""

    def current(self) -> str:
        """The token that is in the file now."""
        try:
            self._last = _checked(self._path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise Problem(f"the token file {self._path} cannot be read: {_why(error)}") from None
        return self._last

    def renew(self) -> bool:
        """Tells whether the file has another token by now."""
        return self._last != self.current()


class Client(NamedTuple):
    """An OAuth 2.0 client, and where it gets its tokens."""

    id: str
    secret: str
    issuer: str
    token_url: str
    scope: str
    audience: str


class Grant(NamedTuple):
    """A token, and how long it lasts in seconds if the issuer says so."""

    token: str
    lasts: float | None


class ClientCredentials:
    """Tokens that an issuer gives to a client (RFC 6749, section 4.4), each while it lasts."""

    def __init__(self, client: Client, seconds: float) -> None:
        self._client = client
        self._seconds = seconds
        self._grant: Grant | None = None
        self._until = 0.0

    def current(self) -> str:
        """The token at hand, or another one if that is about to expire."""
        if self._grant is None or time.monotonic() >= self._until:
            self.renew()
        return self.grant().token

    def renew(self) -> bool:
        """Obtains another token."""
        asked = time.monotonic()
        grant = self._ask()
        lasts = grant.lasts if grant.lasts is not None else float("inf")
        self._grant, self._until = grant, asked + max(lasts - _MARGIN_SECONDS, lasts * 2 / 3)
        return True

    def grant(self) -> Grant:
        """The token at hand; obtains one if there is none."""
        if self._grant is None:
            self.renew()
        assert self._grant is not None  # noqa: S101 - renew has set it
        return self._grant

    def _ask(self) -> Grant:
        form = {"grant_type": "client_credentials"}
        form |= {"scope": self._client.scope} if self._client.scope else {}
        form |= {"audience": self._client.audience} if self._client.audience else {}
        # RFC 6749, section 2.3.1, has both encoded as in a form before they are joined.
        user = (quote_plus(self._client.id), quote_plus(self._client.secret))
        url = self._token_url()
        said = _json(
            url, lambda: httpx.post(_safe(url), data=form, auth=user, timeout=self._seconds)
        )
        lasts = said.get("expires_in")
        token = said.get("access_token")
        if not isinstance(token, str) or not token:
            raise Problem(f"{url} answered without an access_token")
        return Grant(_checked(token), float(lasts) if isinstance(lasts, (int, float)) else None)

    def _token_url(self) -> str:
        """The token endpoint that is given, or that the issuer publishes."""
        if self._client.token_url:
            return self._client.token_url
        url = self._client.issuer.rstrip("/") + "/.well-known/openid-configuration"
        said = _json(url, lambda: httpx.get(_safe(url), timeout=self._seconds))
        if not isinstance(said.get("token_endpoint"), str):
            raise Problem(f"{url} names no token_endpoint")
        return str(said["token_endpoint"])


def claims(token: str) -> dict[str, Any]:
    """What a JWT says of itself, unverified. Raises Problem if it is no JWT."""
    try:
        body = token.split(".")[1]
        said = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (IndexError, ValueError, binascii.Error):
        raise Problem("the token is no JWT, so it cannot be looked into") from None
    return said if isinstance(said, dict) else {}


def _json(url: str, ask: Callable[[], httpx.Response]) -> dict[str, Any]:
    try:
        answer = ask()
        said = answer.json() if answer.content else {}
    except httpx.HTTPError as error:
        raise Problem(f"{url} cannot be reached: {error or type(error).__name__}") from None
    except ValueError:
        said = {}
    if not isinstance(said, dict):
        said = {}
    if answer.status_code != httpx.codes.OK:
        why = said.get("error_description") or said.get("error") or answer.reason_phrase
        raise Problem(f"{url} gave no token: {why} (HTTP {answer.status_code})")
    return said


def _safe(url: str) -> str:
    """A URL that a secret may be sent to. Raises Problem."""
    parts = urlsplit(url)
    if parts.scheme != "https" and (parts.scheme != "http" or parts.hostname not in _LOOPBACK):
        raise Problem(f"{url} must be an https URL, since a secret is sent there")
    return url


def _checked(token: str) -> str:
    """A token without white space around it. Raises Problem if it can be none."""
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise Problem("the token is empty, or has characters that no token has")
    return token


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else "") or "it is no text"
