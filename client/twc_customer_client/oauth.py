"""Tokens of an OAuth 2.0 issuer, by the client credentials grant (RFC 6749, section 4.4)."""

import base64
import binascii
import json
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import quote_plus, urlsplit

import httpx

from twc_customer_client.channels import is_loopback_host
from twc_customer_client.credentials import TokenError, validated

# A token is renewed this long before it expires, or when a third of its
# lifetime is left if that is shorter.
_RENEWAL_SECONDS = 60.0

# Time after a renewal that failed, until the next one while the token still is valid.
_RETRY_SECONDS = 5.0


class OAuthClient(NamedTuple):
    """An OAuth 2.0 client, and the issuer or token endpoint that it gets tokens from."""

    id: str
    secret: str
    issuer: str = ""
    token_url: str = ""
    scope: str = ""
    audience: str = ""


class AccessToken(NamedTuple):
    """A token and its lifetime in seconds, None if the issuer does not state it."""

    value: str
    expires_in: float | None


class _Held(NamedTuple):
    """A token, and the times of its renewal and its end."""

    token: AccessToken
    renew_at: float
    ends_at: float


class ClientCredentials:
    """Obtains tokens, and renews each before it expires: one thread at a time.

    The others go on with the token that is about to expire, as long as it is valid.
    """

    def __init__(self, client: OAuthClient, timeout: float = 10.0) -> None:
        """Waits for the issuer for at most `timeout` seconds. Raises ValueError without one."""
        if not (client.issuer or client.token_url):
            raise ValueError("an OAuth client needs its issuer or its token endpoint")
        self._client = client
        self._timeout = timeout
        self._held: _Held | None = None
        self._renewing = threading.Lock()

    def current(self) -> str:
        """Returns the last token, or a new one if that is about to expire. Raises TokenError."""
        held = self._held
        if held is None or time.monotonic() >= held.ends_at:
            self._renew_once(held)
        elif time.monotonic() >= held.renew_at and self._renewing.acquire(blocking=False):
            try:
                self._renew_early(held)
            finally:
                self._renewing.release()
        return self.access_token().value

    def renew(self, rejected: str) -> bool:
        """Obtains a token in place of a rejected one. Raises TokenError."""
        held = self._held
        if held is None or held.token.value == rejected:
            self._renew_once(held)
        return True

    def is_at_hand(self) -> bool:
        """Tells whether there is a token that needs no renewal yet."""
        return self._held is not None and time.monotonic() < self._held.renew_at

    def access_token(self) -> AccessToken:
        """Returns the last token, or the first one. Raises TokenError."""
        held = self._held
        return held.token if held else self._renew_once(None).token

    def _renew_once(self, replaced: _Held | None) -> _Held:
        """Obtains a token, unless another thread has done so meanwhile."""
        with self._renewing:
            if self._held is None or self._held is replaced:
                self._held = self._obtain()
            return self._held

    def _renew_early(self, held: _Held) -> None:
        if self._held is not held:
            return
        try:
            self._held = self._obtain()
        except TokenError:
            self._held = held._replace(renew_at=time.monotonic() + _RETRY_SECONDS)

    def _obtain(self) -> _Held:
        requested = time.monotonic()
        token = self._request_token()
        lifetime = token.expires_in if token.expires_in is not None else float("inf")
        renewed_after = max(lifetime - _RENEWAL_SECONDS, lifetime * 2 / 3)
        return _Held(token, requested + renewed_after, requested + lifetime)

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
            raise TokenError(f"{url} returned a response without an access_token")
        return AccessToken(
            validated(token), float(lifetime) if isinstance(lifetime, (int, float)) else None
        )

    def _token_url(self) -> str:
        """Returns the given token endpoint, or the one in the issuer's discovery document."""
        if self._client.token_url:
            return self._client.token_url
        url = self._client.issuer.rstrip("/") + "/.well-known/openid-configuration"
        document = _request_json(url, lambda: httpx.get(_require_https(url), timeout=self._timeout))
        if not isinstance(document.get("token_endpoint"), str):
            raise TokenError(f"{url} has no token_endpoint")
        return str(document["token_endpoint"])


def decode_claims(token: str) -> dict[str, Any]:
    """Decodes the claims of a JWT without verifying it. Raises TokenError if it is none."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, binascii.Error):
        raise TokenError("the token is not a JWT, so its claims cannot be decoded") from None
    return claims if isinstance(claims, dict) else {}


def _request_json(url: str, request: Callable[[], httpx.Response]) -> dict[str, Any]:
    """Returns the JSON object of a 200 response. Raises TokenError with the error it names."""
    try:
        response = request()
        body = response.json() if response.content else {}
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise TokenError(f"{url} cannot be reached: {error or type(error).__name__}") from None
    except ValueError:
        body = {}
    if not isinstance(body, dict):
        body = {}
    if response.status_code != httpx.codes.OK:
        reason = body.get("error_description") or body.get("error") or response.reason_phrase
        raise TokenError(f"{url} returned no token: {reason} (HTTP {response.status_code})")
    return body


def _require_https(url: str) -> str:
    """Returns a URL that a secret may be sent to. Raises TokenError."""
    parts = urlsplit(url)
    if parts.scheme != "https" and (
        parts.scheme != "http" or not is_loopback_host(parts.hostname or "")
    ):
        raise TokenError(f"{url} must be an https URL, because the client secret is sent to it")
    return url
