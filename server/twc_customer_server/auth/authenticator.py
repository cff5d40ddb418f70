"""Authenticates calls: verifies their bearer tokens (RFC 6750, JWT) for the tenants they name."""

import math
import re
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jwt

from twc_customer_server.auth.fetchers import source_of
from twc_customer_server.auth.jwks import Keys
from twc_customer_server.auth.key_sets import KeySet
from twc_customer_server.auth.realms import NO_REALM, KeySets
from twc_customer_server.auth.scopes import scopes_in
from twc_customer_server.auth.tenants import PLACEHOLDER, TENANT_PATTERN, is_tenant
from twc_customer_server.contract import CREDENTIALS_REQUIRED
from twc_customer_server.errors import (
    EXPIRED,
    InvalidTenant,
    NoCredentials,
    TenantForbidden,
    Unauthenticated,
)
from twc_customer_server.telemetry.families import KEYS_AGE, TOKENS
from twc_customer_server.telemetry.metrics import OwnMetrics

_SCHEME = "bearer "

# A longer token is refused without parsing it: valid ones are far shorter.
MAX_TOKEN_LENGTH = 16 * 1024

# Verified tokens that are cached.
MAX_CACHED = 10_000

# Must be numbers by RFC 7519; PyJWT accepts all that int() does.
_TIME_CLAIMS = ("exp", "nbf", "iat")

_FORBIDDEN = "the token is not for the tenant that X-TWC-Tenant names"
NOT_VERIFIABLE = "the token cannot be verified"

Metadata = Sequence[tuple[str, str | bytes]]

_REASONS: dict[type[jwt.PyJWTError], str] = {
    jwt.ExpiredSignatureError: EXPIRED,
    jwt.ImmatureSignatureError: "the token is not valid yet",
    jwt.InvalidAudienceError: "the token is for another audience",
    jwt.InvalidIssuerError: "the token is of another issuer",
}


class TrustPolicy(NamedTuple):
    """The issuer to trust, and the claims that its tokens must have.

    `issuer` may contain `{tenant}`: each tenant then has an issuer, a realm,
    of its own. Otherwise the claim `tenant_claim` names the tenants.
    `scope_claim` is the claim with the scopes, or the path of it.
    """

    issuer: str
    audience: str
    algorithms: Sequence[str]
    tenant_claim: str
    clock_skew_seconds: float
    scope_claim: str = "scope"


class Caller(NamedTuple):
    """The tenant that a call may act for, and its token's end by the wall clock and scopes."""

    tenant: str
    valid_until: float
    scopes: Collection[str] = ()


class VerifiedToken(NamedTuple):
    """The tenants of a token, its end by the wall clock, the keys that verified it, its scopes.

    `found_in` are the keys of `keys` among which its own was found.
    """

    tenants: Collection[str]
    valid_until: float
    keys: KeySet
    found_in: Keys
    scopes: Collection[str] = ()


class Authenticator:
    """Accepts calls whose bearer token is good for the tenant that they name."""

    def __init__(
        self, policy: TrustPolicy, key_sets: KeySets, metrics: OwnMetrics | None = None
    ) -> None:
        """Counts in metrics of its own if none are given."""
        self._metrics = metrics or OwnMetrics()
        self._cached = self._metrics.series(TOKENS, "cached")
        self._verifier = TokenVerifier(policy, key_sets, self._metrics)
        self._key_sets = key_sets

    def start(self) -> None:
        """Keeps the issuers' keys fresh from now on."""
        self._key_sets.start()

    def stop(self) -> None:
        """Ends what `start` began."""
        self._key_sets.stop()

    def has_keys(self) -> bool:
        """Tells at once whether the keys of the one issuer, if there is one, are at hand."""
        return self._key_sets.are_ready()

    def refresh_keys(self) -> None:
        """Fetches the keys of the issuers in use anew, in the background."""
        self._key_sets.refresh()

    def sample(self) -> None:
        """Sets the metric of the keys' age; to be called again and again."""
        oldest = self._key_sets.oldest_age()
        self._metrics.series(KEYS_AGE).set(0 if oldest is None else time.time() - oldest)

    def authenticate(
        self, metadata: Metadata, peer: Callable[[], str] = str, came_at: float = math.inf
    ) -> Caller:
        """Returns the caller of a call. Waits for nothing.

        `peer` returns where the call comes from, as `grpc.ServicerContext`
        does. `came_at` is when it came, by the monotonic clock, if it has
        awaited keys: it does not await those that were asked for since then
        again. Raises Unauthenticated, or Unavailable if the issuer's keys are
        not at hand, KeysAwaited if they may soon be; then InvalidTenant; then
        TenantForbidden.
        """
        if isinstance(caller := self.cached(metadata), Caller):
            return caller
        credentials, names, forwarded_for = [], [], ""
        for key, value in metadata:
            if key == "authorization":
                credentials.append(str(value))
            elif key == "x-twc-tenant":
                names.append(str(value))
            elif key == "x-forwarded-for":
                forwarded_for = str(value)
        source = partial(_source, peer, forwarded_for)
        verified = self._verifier.verify(_token(credentials), source, came_at)
        tenant = _tenant(names)
        if tenant not in verified.tenants:
            raise TenantForbidden(_FORBIDDEN)
        return Caller(tenant, verified.valid_until, verified.scopes)

    def cached(self, metadata: Metadata) -> Caller | TenantForbidden | None:
        """Returns the caller, or why it is refused, if its token was verified before.

        It parses nothing and takes no lock; it returns None if anything is unusual.
        """
        headers = dict(metadata)
        if len(headers) < len(metadata):
            names = [name for name, _ in metadata]
            if names.count("authorization") > 1 or names.count("x-twc-tenant") > 1:
                return None
        credential, tenant = headers.get("authorization"), headers.get("x-twc-tenant")
        if not (
            isinstance(credential, str)
            and credential[: len(_SCHEME)].lower() == _SCHEME
            and isinstance(tenant, str)
            and is_tenant(tenant)
        ):
            return None
        verified = self._verifier.cached(credential[len(_SCHEME) :].strip())
        if verified is None:
            return None
        self._cached.add()
        if tenant not in verified.tenants:
            return TenantForbidden(_FORBIDDEN)
        return Caller(tenant, verified.valid_until, verified.scopes)


class TokenVerifier:
    """Verifies tokens, and caches each result for as long as it is valid."""

    def __init__(
        self, policy: TrustPolicy, key_sets: KeySets, metrics: OwnMetrics | None = None
    ) -> None:
        """Counts in metrics of its own if none are given."""
        metrics = metrics or OwnMetrics()
        self._valid = metrics.series(TOKENS, "verified")
        self._refused = metrics.series(TOKENS, "refused")
        self._policy = policy
        self._key_sets = key_sets
        self._verified: dict[str, VerifiedToken] = {}
        self._lock = threading.Lock()
        pattern = re.escape(policy.issuer).replace(
            re.escape(PLACEHOLDER), f"(?P<realm>{TENANT_PATTERN})"
        )
        self._match_issuer = re.compile(pattern, re.ASCII).fullmatch

    def cached(self, token: str) -> VerifiedToken | None:
        """Returns the cached result of a token that is still valid, and whose key still counts."""
        verified = self._verified.get(token)
        if verified is None or verified.valid_until <= time.time():
            return None
        held, now = verified.keys.held, time.monotonic()
        if held.keys is not verified.found_in or held.good_until <= now:
            return None
        verified.keys.used_at = now
        return verified

    def verify(
        self, token: str, source: Callable[[], str] = str, came_at: float = math.inf
    ) -> VerifiedToken:
        """Verifies a token that a call from some source has, which came at some time.

        Raises Unauthenticated if it is not valid, and what `KeySet.find`
        raises if its key is not at hand.
        """
        verified = self.cached(token)
        if verified is None:
            try:
                verified = self._verify(token, source, came_at)
            except Unauthenticated:
                self._refused.add()
                raise
            self._valid.add()
            with self._lock:
                if len(self._verified) >= MAX_CACHED:
                    del self._verified[next(iter(self._verified))]
                self._verified[token] = verified
        return verified

    def _verify(self, token: str, source: Callable[[], str], came_at: float) -> VerifiedToken:
        if len(token) > MAX_TOKEN_LENGTH:
            raise Unauthenticated("the token is too long")
        if "=" in token:
            raise Unauthenticated(NOT_VERIFIABLE)  # RFC 7515 forbids padding, PyJWT accepts it.
        try:
            return self._verify_signature_and_claims(token, source, came_at)
        except jwt.PyJWTError as error:
            raise Unauthenticated(_REASONS.get(type(error), NOT_VERIFIABLE)) from None
        except (ValueError, TypeError, OverflowError, RecursionError):
            # PyJWT does not catch all that the parts of a forged token can raise.
            raise Unauthenticated(NOT_VERIFIABLE) from None

    def _verify_signature_and_claims(
        self, token: str, source: Callable[[], str], came_at: float
    ) -> VerifiedToken:
        """Verifies a token's signature first, then its claims. Raises PyJWTError and others."""
        header = jwt.get_unverified_header(token)
        claimed = jwt.decode(token, options={"verify_signature": False})
        realm = self._realm_of(claimed.get("iss"))
        key_id = str(header.get("kid"))
        keys, key = self._key_sets.find(realm, key_id, source, came_at)
        if key is None:
            raise jwt.InvalidKeyError
        found_in = keys.held.keys
        if found_in.get(key_id) is not key:
            # Others were fetched meanwhile: the token is not cached for them.
            found_in = {}
        claims = jwt.decode(
            token,
            key,
            algorithms=list(self._policy.algorithms),
            audience=self._policy.audience,
            leeway=self._policy.clock_skew_seconds,
            options={"require": ["exp", "iss", "aud"]},
        )
        if not all(type(claims.get(name, 0)) in (int, float) for name in _TIME_CLAIMS):
            raise jwt.InvalidTokenError
        tenants = self._tenants_in(claims) if realm == NO_REALM else frozenset({realm})
        scopes = scopes_in(claims, self._policy.scope_claim)
        self._key_sets.prove(realm, keys)
        valid_until = claims["exp"] + self._policy.clock_skew_seconds
        return VerifiedToken(tenants, valid_until, keys, found_in, scopes)

    def _realm_of(self, issuer: object) -> str:
        match = self._match_issuer(issuer) if isinstance(issuer, str) else None
        if match is None:
            raise jwt.InvalidIssuerError
        return match.groupdict().get("realm", NO_REALM)

    def _tenants_in(self, claims: Mapping[str, Any]) -> frozenset[str]:
        named = claims.get(self._policy.tenant_claim)
        tenants = [named] if isinstance(named, str) else named
        if not isinstance(tenants, list) or not all(isinstance(name, str) for name in tenants):
            raise jwt.InvalidTokenError
        return frozenset(tenants)


def _source(peer: Callable[[], str], forwarded_for: str) -> str:
    return source_of(peer(), forwarded_for)


def _token(credentials: list[str]) -> str:
    if not credentials:
        raise NoCredentials(CREDENTIALS_REQUIRED)
    if len(credentials) > 1:
        raise Unauthenticated("the header Authorization must be given once")
    [credential] = credentials
    if credential[: len(_SCHEME)].lower() != _SCHEME:
        raise NoCredentials("the header Authorization must be Bearer and a token")
    return credential[len(_SCHEME) :].strip()


def _tenant(names: list[str]) -> str:
    if not names:
        raise InvalidTenant("the header X-TWC-Tenant is required: it names the tenant")
    if len(names) > 1 or not is_tenant(names[0]):
        raise InvalidTenant(
            "the header X-TWC-Tenant must be one name of 1 to 64 letters, digits, '.', '_' or '-'"
        )
    return names[0]
