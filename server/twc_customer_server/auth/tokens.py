"""Bearer tokens (RFC 6750) that are JWTs: whether one is genuine, and for which tenants."""

import re
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import jwt

from twc_customer_server.auth.key_sets import KeySet
from twc_customer_server.errors import Unauthenticated

# A longer token is refused unread: genuine ones are far shorter.
MAX_LENGTH = 16 * 1024

# Tokens that are remembered, and realms whose keys are.
MAX_KEPT = 10_000

# Names that no tenant has would be steps up in a path: `.` and `..`.
TENANT = r"(?!\.\.?(?![A-Za-z0-9._-]))[A-Za-z0-9._-]{1,64}"
PLACEHOLDER = "{tenant}"

# RFC 7519 has them be numbers; PyJWT would take what int() takes.
_TIMES = ("exp", "nbf", "iat")

NOT_GENUINE = "the token cannot be verified"

T = TypeVar("T")

_REASONS: dict[type[jwt.PyJWTError], str] = {
    jwt.ExpiredSignatureError: "the token has expired",
    jwt.ImmatureSignatureError: "the token is not valid yet",
    jwt.InvalidAudienceError: "the token is for another audience",
    jwt.InvalidIssuerError: "the token is of another issuer",
}


class Trust(NamedTuple):
    """Whose tokens are believed, and what they must say.

    `issuer` may hold `{tenant}`: each tenant then has an issuer, a realm, of
    its own. Otherwise the claim `tenant_claim` names the tenants.
    """

    issuer: str
    audience: str
    algorithms: Sequence[str]
    tenant_claim: str
    skew_seconds: float


class _Verified(NamedTuple):
    tenants: Collection[str]
    until: float


class Verifier:
    """Tells which tenants a token is good for, and remembers that for as long as it is true."""

    def __init__(self, trust: Trust, new_key_set: Callable[[str], KeySet]) -> None:
        """`new_key_set` makes the key set of a tenant's realm, or of `""` if there are none."""
        self._trust = trust
        self._new_key_set = new_key_set
        self._key_sets: dict[str, KeySet] = {}
        # Realms that no genuine token has come from may be an attacker's
        # invention, and must not push out those that one has.
        self._unproven: dict[str, KeySet] = {}
        self._verified: dict[str, _Verified] = {}
        self._lock = threading.Lock()
        pattern = re.escape(trust.issuer).replace(re.escape(PLACEHOLDER), f"(?P<realm>{TENANT})")
        self._match_issuer = re.compile(pattern, re.ASCII).fullmatch

    def tenants(self, token: str) -> Collection[str]:
        """Returns the tenants that a token is good for.

        Raises Unauthenticated if it is not genuine, and Unavailable if that
        cannot be found out now.
        """
        known = self._verified.get(token)
        if known is None or known.until <= time.time():
            known = self._verify(token)
            self._keep(self._verified, token, known)
        return known.tenants

    def _verify(self, token: str) -> _Verified:
        if len(token) > MAX_LENGTH:
            raise Unauthenticated("the token is too long")
        if "=" in token:
            raise Unauthenticated(NOT_GENUINE)  # RFC 7515 has no padding, PyJWT forgives it.
        try:
            return self._believe(token)
        except jwt.PyJWTError as error:
            raise Unauthenticated(_REASONS.get(type(error), NOT_GENUINE)) from None
        except (ValueError, TypeError, OverflowError, RecursionError):
            # What a forged token can make of its parts, PyJWT does not all foresee.
            raise Unauthenticated(NOT_GENUINE) from None

    def _believe(self, token: str) -> _Verified:
        """Checks a token's signature first, then what it says."""
        header = jwt.get_unverified_header(token)
        claimed = jwt.decode(token, options={"verify_signature": False})
        realm, keys = self._keys_of(claimed.get("iss"))
        key = keys.find(str(header.get("kid")))
        if key is None:
            raise jwt.InvalidKeyError
        claims = jwt.decode(
            token,
            key,
            algorithms=list(self._trust.algorithms),
            audience=self._trust.audience,
            leeway=self._trust.skew_seconds,
            options={"require": ["exp", "iss", "aud"]},
        )
        if not all(type(claims.get(name, 0)) in (int, float) for name in _TIMES):
            raise jwt.InvalidTokenError
        tenants = frozenset({realm}) if realm else self._tenants_in(claims)
        if realm in self._unproven:
            self._keep(self._key_sets, realm, keys)
            self._unproven.pop(realm, None)
        # Keys that were renewed meanwhile may be without the one that proved it.
        keys_last = time.time() + keys.good_until - time.monotonic() if keys.holds(key) else 0
        return _Verified(tenants, min(claims["exp"] + self._trust.skew_seconds, keys_last))

    def _keys_of(self, issuer: object) -> tuple[str, KeySet]:
        """The realm of an issuer, if issuers have realms, and the issuer's keys."""
        match = self._match_issuer(issuer) if isinstance(issuer, str) else None
        if match is None:
            raise jwt.InvalidIssuerError
        realm = match.groupdict().get("realm", "")
        keys = self._key_sets.get(realm) or self._unproven.get(realm)
        if keys is None:
            keys = self._new_key_set(realm)
            self._keep(self._unproven, realm, keys)
        return realm, keys

    def _tenants_in(self, claims: Mapping[str, Any]) -> frozenset[str]:
        named = claims.get(self._trust.tenant_claim)
        tenants = [named] if isinstance(named, str) else named
        if not isinstance(tenants, list) or not all(isinstance(name, str) for name in tenants):
            raise jwt.InvalidTokenError
        return frozenset(tenants)

    def _keep(self, kept: dict[str, T], name: str, value: T) -> None:
        """Adds to a bounded collection; if that is full, the oldest goes."""
        with self._lock:
            if len(kept) >= MAX_KEPT:
                kept.pop(next(iter(kept)), None)
            kept[name] = value
