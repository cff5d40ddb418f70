"""Bearer tokens: a fixed one, one from a file, or those of OAuth 2.0 client credentials."""

import base64
import binascii
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote_plus, urlsplit

import httpx

from twc_customer_client.errors import CommandError

# A token is renewed this long before it expires, or when a third of its
# lifetime is left if that is shorter.
_RENEWAL_SECONDS = 60.0
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class TokenSource(Protocol):
    """Provides the bearer tokens of calls."""

    def current(self) -> str:
        """Returns the token for a call that starts now. Raises CommandError."""

    def renew(self) -> bool:
        """Looks for a token other than the last, which was rejected; returns whether it has one."""


class FixedToken:
    """A token given by the user."""

    def __init__(self, token: str) -> None:
        self._token = _validated(token)

    def current(self) -> str:
        """Returns the token."""
        return self._token

    def renew(self) -> bool:
        """Returns False: there is no other token."""
        return False


class TokenFile:
    """A token in a file that another program renews."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = ""

    def current(self) -> str:
        """Reads the token from the file. Raises CommandError."""
        try:
            self._last = _validated(self._path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            reason = (error.strerror if isinstance(error, OSError) else "") or "it is not text"
            raise CommandError(f"the token file {self._path} cannot be read: {reason}") from None
        return self._last

    def renew(self) -> bool:
        """Returns whether the file has another token now."""
        return self._last != self.current()


class OAuthClient(NamedTuple):
    """An OAuth 2.0 client, and the issuer or token endpoint that it gets tokens from."""

    id: str
    secret: str
    issuer: str
    token_url: str
    scope: str
    audience: str


class AccessToken(NamedTuple):
    """A token and its lifetime in seconds, None if the issuer does not state it."""

    value: str
    expires_in: float | None


class ClientCredentials:
    """Obtains tokens by the client credentials grant (RFC 6749, section 4.4)."""

    def __init__(self, client: OAuthClient, timeout: float) -> None:
        self._client = client
        self._timeout = timeout
        self._token: AccessToken | None = None
        self._renew_at = 0.0

    def current(self) -> str:
        """Returns the last token, or a new one if that is about to expire. Raises CommandError."""
        if self._token is None or time.monotonic() >= self._renew_at:
            self.renew()
        return self.access_token().value

    def renew(self) -> bool:
        """Obtains a new token. Raises CommandError."""
        requested = time.monotonic()
        token = self._request_token()
        lifetime = token.expires_in if token.expires_in is not None else float("inf")
        self._token = token
        self._renew_at = requested + max(lifetime - _RENEWAL_SECONDS, lifetime * 2 / 3)
        return True

    def access_token(self) -> AccessToken:
        """Returns the last token, or the first one. Raises CommandError."""
        if self._token is None:
            self.renew()
        assert self._token is not None  # noqa: S101 - renew has set it
        return self._token

    def _request_token(self) -> AccessToken:
        form = {"grant_type": "client_credentials"}
        form |= {"scope": self._client.scope} if self._client.scope else {}
        form |= {"audience": self._client.audience} if self._client.audience else {}
        # RFC 6749, section 2.3.1: both are form-encoded before HTTP Basic joins them.
        credentials = (quote_plus(self._client.id), quote_plus(self._client.secret))
        url = self._token_url()
        response = _request_json(
            url,
            lambda: httpx.post(
                _require_https(url), data=form, auth=credentials, timeout=self._timeout
            ),
        )
        token, lifetime = response.get("access_token"), response.get("expires_in")
        if not isinstance(token, str) or not token:
            raise CommandError(f"{url} returned a response without an access_token")
        return AccessToken(
            _validated(token), float(lifetime) if isinstance(lifetime, (int, float)) else None
        )

    def _token_url(self) -> str:
        """Returns the given token endpoint, or the one in the issuer's discovery document."""
        if self._client.token_url:
            return self._client.token_url
        url = self._client.issuer.rstrip("/") + "/.well-known/openid-configuration"
        document = _request_json(url, lambda: httpx.get(_require_https(url), timeout=self._timeout))
        if not isinstance(document.get("token_endpoint"), str):
            raise CommandError(f"{url} has no token_endpoint")
        return str(document["token_endpoint"])


def decode_claims(token: str) -> dict[str, Any]:
    """Decodes the claims of a JWT without verifying it. Raises CommandError if it is none."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, binascii.Error):
        raise CommandError("the token is not a JWT, so its claims cannot be decoded") from None
    return claims if isinstance(claims, dict) else {}


def _request_json(url: str, request: Callable[[], httpx.Response]) -> dict[str, Any]:
    """Returns the JSON object of a 200 response. Raises CommandError with the error it names."""
    try:
        response = request()
        body = response.json() if response.content else {}
    except httpx.HTTPError as error:
        raise CommandError(f"{url} cannot be reached: {error or type(error).__name__}") from None
    except ValueError:
        body = {}
    if not isinstance(body, dict):
        body = {}
    if response.status_code != httpx.codes.OK:
        reason = body.get("error_description") or body.get("error") or response.reason_phrase
        raise CommandError(f"{url} returned no token: {reason} (HTTP {response.status_code})")
    return body


def _require_https(url: str) -> str:
    """Returns a URL that a secret may be sent to. Raises CommandError."""
    parts = urlsplit(url)
    if parts.scheme != "https" and (parts.scheme != "http" or parts.hostname not in _LOOPBACK):
        raise CommandError(f"{url} must be an https URL, because the client secret is sent to it")
    return url


def _validated(token: str) -> str:
    """Returns a token without white space around it. Raises CommandError if none can be like it."""
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise CommandError("the token is empty, or has characters that no bearer token has")
    return token
