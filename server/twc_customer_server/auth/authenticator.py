"""Authenticates calls: verifies their bearer tokens (RFC 6750, JWT) for the tenants they name."""

import re
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import jwt

from twc_customer_server.auth.key_sets import KeySet
from twc_customer_server.auth.tenants import PLACEHOLDER, TENANT_PATTERN, is_tenant
from twc_customer_server.contract import CREDENTIALS_REQUIRED
from twc_customer_server.errors import (
    InvalidTenant,
    NoCredentials,
    TenantForbidden,
    Unauthenticated,
)

_SCHEME = "bearer "

# A longer token is refused without parsing it: valid ones are far shorter.
MAX_TOKEN_LENGTH = 16 * 1024

# Entries of each cache: of verified tokens, and of the key sets of realms.
MAX_CACHED = 10_000

# Must be numbers by RFC 7519; PyJWT accepts all that int() does.
_TIME_CLAIMS = ("exp", "nbf", "iat")

NOT_VERIFIABLE = "the token cannot be verified"

T = TypeVar("T")

_REASONS: dict[type[jwt.PyJWTError], str] = {
    jwt.ExpiredSignatureError: "the token has expired",
    jwt.ImmatureSignatureError: "the token is not valid yet",
    jwt.InvalidAudienceError: "the token is for another audience",
    jwt.InvalidIssuerError: "the token is of another issuer",
}


class TrustPolicy(NamedTuple):
    """The issuer to trust, and the claims that its tokens must have.

    `issuer` may contain `{tenant}`: each tenant then has an issuer, a realm,
    of its own. Otherwise the claim `tenant_claim` names the tenants.
    """

    issuer: str
    audience: str
    algorithms: Sequence[str]
    tenant_claim: str
    clock_skew_seconds: float


class Authenticator:
    """Accepts calls whose bearer token is good for the tenant that they name."""

    def __init__(self, verifier: "TokenVerifier") -> None:
        self._verifier = verifier

    def authenticate(self, metadata: Iterable[tuple[str, str | bytes]]) -> str:
        """Returns the tenant that a call may act for.

        Raises Unauthenticated, or Unavailable if the issuer's keys cannot be
        fetched; then InvalidTenant; then TenantForbidden.
        """
        credentials, names = [], []
        for key, value in metadata:
            if key == "authorization":
                credentials.append(str(value))
            elif key == "x-twc-tenant":
                names.append(str(value))
        tenants = self._verifier.tenants(_token(credentials))
        tenant = _tenant(names)
        if tenant not in tenants:
            raise TenantForbidden("the token is not for the tenant that X-TWC-Tenant names")
        return tenant


class VerifiedToken(NamedTuple):
    """The tenants of a token, and the time of the wall clock until which they are valid."""

    tenants: Collection[str]
    valid_until: float


class TokenVerifier:
    """Verifies tokens, and caches each result for as long as it is valid."""

    def __init__(self, policy: TrustPolicy, new_key_set: Callable[[str], KeySet]) -> None:
        """`new_key_set` makes the key set of a tenant's realm, or of `""` for the one issuer."""
        self._policy = policy
        self._new_key_set = new_key_set
        self._key_sets: dict[str, KeySet] = {}
        # Realms without a valid token yet are cached apart, so that forged
        # issuers cannot evict real ones.
        self._unproven: dict[str, KeySet] = {}
        self._verified: dict[str, VerifiedToken] = {}
        self._lock = threading.Lock()
        pattern = re.escape(policy.issuer).replace(
            re.escape(PLACEHOLDER), f"(?P<realm>{TENANT_PATTERN})"
        )
        self._match_issuer = re.compile(pattern, re.ASCII).fullmatch

    def tenants(self, token: str) -> Collection[str]:
        """Returns the tenants that a token is good for.

        Raises Unauthenticated if it is not valid, and Unavailable if the
        issuer's keys cannot be fetched.
        """
        verified = self._verified.get(token)
        if verified is None or verified.valid_until <= time.time():
            verified = self._verify(token)
            self._cache(self._verified, token, verified)
        return verified.tenants

    def _verify(self, token: str) -> VerifiedToken:
        if len(token) > MAX_TOKEN_LENGTH:
            raise Unauthenticated("the token is too long")
        if "=" in token:
            raise Unauthenticated(NOT_VERIFIABLE)  # RFC 7515 forbids padding, PyJWT accepts it.
        try:
            return self._verify_signature_and_claims(token)
        except jwt.PyJWTError as error:
            raise Unauthenticated(_REASONS.get(type(error), NOT_VERIFIABLE)) from None
        except (ValueError, TypeError, OverflowError, RecursionError):
            # PyJWT does not catch all that the parts of a forged token can raise.
            raise Unauthenticated(NOT_VERIFIABLE) from None

    def _verify_signature_and_claims(self, token: str) -> VerifiedToken:
        """Verifies a token's signature first, then its claims. Raises PyJWTError and others."""
        header = jwt.get_unverified_header(token)
        claimed = jwt.decode(token, options={"verify_signature": False})
        realm, keys = self._keys_of(claimed.get("iss"))
        key = keys.find(str(header.get("kid")))
        if key is None:
            raise jwt.InvalidKeyError
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
        tenants = frozenset({realm}) if realm else self._tenants_in(claims)
        if realm in self._unproven:
            self._cache(self._key_sets, realm, keys)
            self._unproven.pop(realm, None)
        # Keys that were fetched meanwhile may lack the one that verified the token.
        keys_valid_until = (
            time.time() + keys.good_until - time.monotonic() if keys.holds(key) else 0
        )
        return VerifiedToken(
            tenants, min(claims["exp"] + self._policy.clock_skew_seconds, keys_valid_until)
        )

    def _keys_of(self, issuer: object) -> tuple[str, KeySet]:
        """Returns the realm of an issuer, `""` for the one issuer, and the issuer's keys."""
        match = self._match_issuer(issuer) if isinstance(issuer, str) else None
        if match is None:
            raise jwt.InvalidIssuerError
        realm = match.groupdict().get("realm", "")
        keys = self._key_sets.get(realm) or self._unproven.get(realm)
        if keys is None:
            keys = self._new_key_set(realm)
            self._cache(self._unproven, realm, keys)
        return realm, keys

    def _tenants_in(self, claims: Mapping[str, Any]) -> frozenset[str]:
        named = claims.get(self._policy.tenant_claim)
        tenants = [named] if isinstance(named, str) else named
        if not isinstance(tenants, list) or not all(isinstance(name, str) for name in tenants):
            raise jwt.InvalidTokenError
        return frozenset(tenants)

    def _cache(self, cache: dict[str, T], name: str, value: T) -> None:
        """Adds an entry to a bounded cache; evicts the oldest if it is full."""
        with self._lock:
            if len(cache) >= MAX_CACHED:
                cache.pop(next(iter(cache)), None)
            cache[name] = value


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
