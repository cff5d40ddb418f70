"""Tokens of an OAuth 2.0 issuer, by the client credentials grant (RFC 6749, section 4.4)."""

import base64
import binascii
import json
import math
import threading
import time
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple
from urllib.parse import quote_plus, urlsplit

import httpx

from twc_customer_client.channels import is_loopback_host
from twc_customer_client.credentials import BoundedTokenSource, TokenError, validated

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


class _Attempt:
    """A request for a token, whose outcome all share that wait for it."""

    def __init__(self, seconds: float) -> None:
        self.begun_at = time.monotonic()
        self.ends_at = self.begun_at + seconds
        self.waiting: list[SimpleQueue[None]] = []
        self._outcome: _Held | Exception | None = None

    def settle(self, outcome: _Held | Exception) -> None:
        """Tells all that wait."""
        self._outcome = outcome
        for each in self.waiting:
            each.put(None)

    def result(self, url: str, seconds: float) -> _Held:
        """Waits until the attempt ends, or for `seconds`. Raises TokenError."""
        # An interrupt while it waits leaves no lock held, as that of a condition would be.
        settled: SimpleQueue[None] = SimpleQueue()
        self.waiting.append(settled)
        left = min(seconds, self.ends_at - time.monotonic())
        if self._outcome is None:
            with suppress(Empty):
                settled.get(timeout=max(left, 0.0))
        outcome = self._outcome
        if outcome is None:
            raise _late(url, min(seconds, self.ends_at - self.begun_at))
        if isinstance(outcome, TokenError):
            # Each thread raises an error of its own.
            raise TokenError(outcome.message)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


class ClientCredentials(BoundedTokenSource):
    """Obtains tokens, and renews each before it expires: by one request at a time.

    Meanwhile calls go on with the token that is about to expire, as long as it is valid.
    """

    def __init__(self, client: OAuthClient, timeout: float = 10.0) -> None:
        """Waits for the issuer for at most `timeout` seconds. Raises ValueError without one."""
        if not (client.issuer or client.token_url):
            raise ValueError("an OAuth client needs its issuer or its token endpoint")
        self._client = client
        self._timeout = timeout
        self._held: _Held | None = None
        self._retry_at = 0.0
        self._attempt: _Attempt | None = None
        self._lock = threading.Lock()

    def current(self) -> str:
        """Returns the last token, or a new one if that is about to expire. Raises TokenError."""
        return self.current_within(math.inf)

    def current_within(self, seconds: float) -> str:
        """Returns the last token, or waits for a new one. Raises TokenError."""
        held = self._held
        if held is None or time.monotonic() >= held.ends_at:
            held = self._renewed(held, seconds)
        elif not self.is_at_hand() and (attempt := self._begin_early(held)):
            with suppress(TokenError):
                held = attempt.result(self._url, seconds)
        return held.token.value

    def renew(self, rejected: str) -> bool:
        """Obtains a token in place of a rejected one. Raises TokenError."""
        return self.renew_within(rejected, math.inf)

    def renew_within(self, rejected: str, seconds: float) -> bool:
        """Waits for a token in place of a rejected one. Raises TokenError."""
        held = self._held
        if held is None or held.token.value == rejected:
            self._renewed(held, seconds)
        return True

    def is_at_hand(self) -> bool:
        """Tells whether there is a token that needs no renewal yet."""
        held = self._held
        if held is None:
            return False
        return time.monotonic() < min(held.ends_at, max(held.renew_at, self._retry_at))

    def access_token(self) -> AccessToken:
        """Returns the last token, or the first one. Raises TokenError."""
        return (self._held or self._renewed(None, math.inf)).token

    @property
    def _url(self) -> str:
        return self._client.token_url or self._client.issuer

    def _renewed(self, replaced: _Held | None, seconds: float) -> _Held:
        """Waits for the attempt that is made, or makes one; others may have done so meanwhile."""
        with self._lock:
            if self._held is not None and self._held is not replaced:
                return self._held
            attempt = self._running() or self._begin()
        return attempt.result(self._url, seconds)

    def _begin_early(self, held: _Held) -> _Attempt | None:
        """Begins to renew a token that is still valid, unless that has been done."""
        with self._lock:
            return None if self._held is not held or self._running() else self._begin()

    def _running(self) -> _Attempt | None:
        """Returns the attempt that is made now, and has time left."""
        attempt = self._attempt
        return attempt if attempt and time.monotonic() < attempt.ends_at else None

    def _begin(self) -> _Attempt:
        """Makes an attempt in a thread of its own: whoever waits may have less time than others."""
        self._attempt = attempt = _Attempt(self._timeout)
        # Traces follow it.
        run = partial(copy_context().run, self._make, attempt)
        threading.Thread(target=run, daemon=True).start()
        return attempt

    def _make(self, attempt: _Attempt) -> None:
        outcome: _Held | Exception
        try:
            outcome = self._obtain(attempt)
        except Exception as error:  # noqa: BLE001 - raised where the token is awaited
            outcome = error
        with self._lock:
            # Another one has begun if this one took too long.
            if self._attempt is attempt:
                self._attempt = None
                if isinstance(outcome, _Held):
                    self._held = outcome
                else:
                    self._retry_at = time.monotonic() + _RETRY_SECONDS
        attempt.settle(outcome)

    def _obtain(self, attempt: _Attempt) -> _Held:
        token = self._request_token(attempt.ends_at)
        lifetime = token.expires_in if token.expires_in is not None else float("inf")
        renewed_after = max(lifetime - _RENEWAL_SECONDS, lifetime * 2 / 3)
        return _Held(token, attempt.begun_at + renewed_after, attempt.begun_at + lifetime)

    def _request_token(self, ends_at: float) -> AccessToken:
        form = {"grant_type": "client_credentials"}
        form |= {"scope": self._client.scope} if self._client.scope else {}
        form |= {"audience": self._client.audience} if self._client.audience else {}
        # RFC 6749, section 2.3.1: both are form-encoded before HTTP Basic joins them.
        credentials = (quote_plus(self._client.id), quote_plus(self._client.secret))
        url = self._token_url(ends_at)
        response = self._request_json("POST", url, ends_at, data=form, auth=credentials)
        token, lifetime = response.get("access_token"), response.get("expires_in")
        if not isinstance(token, str) or not token:
            raise TokenError(f"{url} returned a response without an access_token")
        return AccessToken(
            validated(token), float(lifetime) if isinstance(lifetime, (int, float)) else None
        )

    def _token_url(self, ends_at: float) -> str:
        """Returns the given token endpoint, or the one in the issuer's discovery document."""
        if self._client.token_url:
            return self._client.token_url
        url = self._client.issuer.rstrip("/") + "/.well-known/openid-configuration"
        document = self._request_json("GET", url, ends_at)
        if not isinstance(document.get("token_endpoint"), str):
            raise TokenError(f"{url} has no token_endpoint")
        return str(document["token_endpoint"])

    def _request_json(
        self, method: str, url: str, ends_at: float, **content: Any
    ) -> dict[str, Any]:
        """Returns the JSON object of a 200 response. Raises TokenError with the error it names."""
        try:
            response, text = _fetch(method, _require_https(url), ends_at, **content)
            body = json.loads(text) if text else {}
        except httpx.TimeoutException:
            raise _late(url, self._timeout) from None
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


def _fetch(method: str, url: str, ends_at: float, **content: Any) -> tuple[httpx.Response, bytes]:
    """Returns a response and its content. Raises HTTPError, one of httpx's timeouts after a time.

    httpx limits the time of each read, and not of all together.
    """
    timeout = max(ends_at - time.monotonic(), 0.001)
    with httpx.stream(method, url, timeout=timeout, **content) as response:
        parts = []
        for part in response.iter_bytes():
            parts.append(part)
            if time.monotonic() >= ends_at:
                raise httpx.ReadTimeout("the time is over")
    return response, b"".join(parts)


def _late(url: str, seconds: float) -> TokenError:
    return TokenError(f"{url} gave no token within {seconds:.1f} s")


def decode_claims(token: str) -> dict[str, Any]:
    """Decodes the claims of a JWT without verifying it. Raises TokenError if it is none."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, binascii.Error):
        raise TokenError("the token is not a JWT, so its claims cannot be decoded") from None
    return claims if isinstance(claims, dict) else {}


def _require_https(url: str) -> str:
    """Returns a URL that a secret may be sent to. Raises TokenError."""
    parts = urlsplit(url)
    if parts.scheme != "https" and (
        parts.scheme != "http" or not is_loopback_host(parts.hostname or "")
    ):
        raise TokenError(f"{url} must be an https URL, because the client secret is sent to it")
    return url
