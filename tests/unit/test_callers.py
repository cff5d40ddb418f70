"""Which tenant a call may act for, by its metadata."""

from unittest.mock import ANY

import jwt
import pytest

from tests.support.tokens import Issuer, jwks
from tests.unit.identity import SKEW, Source, callers
from twc_customer_server.auth.authenticator import NOT_VERIFIABLE, Authenticator
from twc_customer_server.auth.jwks import parse
from twc_customer_server.errors import (
    InvalidTenant,
    ServiceError,
    TenantForbidden,
    Unauthenticated,
    Unavailable,
)

Metadata = list[tuple[str, str | bytes]]

ISSUED = Issuer()
STRANGER = Issuer()
CALLERS = callers(lambda: parse(jwks(ISSUED)))

TENANT = ("x-twc-tenant", "acme")
GOOD = ISSUED.token(tenant="acme")
FORGED = STRANGER.token(tenant="acme")
EVERYONE = ISSUED.token(tenant=["acme", "*"])
FOREIGN = ISSUED.token(tenant="other")

REQUIRED = "the header Authorization is required: Bearer and a token"
ONCE = "the header Authorization must be given once"
SCHEME = "the header Authorization must be Bearer and a token"
NO_TENANT = "the header X-TWC-Tenant is required: it names the tenant"
BAD_TENANT = "the header X-TWC-Tenant must be one name of 1 to 64 letters, digits, '.', '_' or '-'"
FORBIDDEN = "the token is not for the tenant that X-TWC-Tenant names"


def bearer(token: str) -> tuple[str, str]:
    """The header that carries a token."""
    return ("authorization", f"Bearer {token}")


def refusal(metadata: Metadata, callers: Authenticator = CALLERS) -> tuple[type[ServiceError], str]:
    """The error that a call is refused with."""
    with pytest.raises(ServiceError) as error:
        callers.authenticate(metadata)
    return type(error.value), str(error.value)


UNAUTHENTICATED: dict[str, tuple[Metadata, str]] = {
    "no metadata": ([], REQUIRED),
    "no header": ([TENANT], REQUIRED),
    "another header": ([("x-authorization", f"Bearer {GOOD}"), TENANT], REQUIRED),
    "empty header": ([("authorization", ""), TENANT], SCHEME),
    "scheme alone": ([("authorization", "Bearer"), TENANT], SCHEME),
    "scheme and a space": ([("authorization", "Bearer "), TENANT], NOT_VERIFIABLE),
    "token alone": ([("authorization", GOOD), TENANT], SCHEME),
    "Basic": ([("authorization", "Basic YWNtZTpzZWNyZXQ="), TENANT], SCHEME),
    "Basic with the token": ([("authorization", f"Basic {GOOD}"), TENANT], SCHEME),
    "longer scheme": ([("authorization", f"Bearers {GOOD}"), TENANT], SCHEME),
    "no space": ([("authorization", f"Bearer{GOOD}"), TENANT], SCHEME),
    "colon": ([("authorization", f"Bearer: {GOOD}"), TENANT], SCHEME),
    "scheme twice": ([("authorization", f"Bearer Bearer {GOOD}"), TENANT], NOT_VERIFIABLE),
    "space before": ([("authorization", f" Bearer {GOOD}"), TENANT], SCHEME),
    "two tokens": ([("authorization", f"Bearer {GOOD}, Bearer {GOOD}"), TENANT], NOT_VERIFIABLE),
    "twice": ([bearer(GOOD), bearer(GOOD), TENANT], ONCE),
    "good and forged": ([bearer(GOOD), bearer(FORGED), TENANT], ONCE),
    "forged and good": ([bearer(FORGED), TENANT, bearer(GOOD)], ONCE),
    "Basic and good": ([("authorization", "Basic Og=="), bearer(GOOD), TENANT], ONCE),
    "forged": ([bearer(FORGED), TENANT], NOT_VERIFIABLE),
    "bytes": ([("authorization", f"Bearer {GOOD}".encode()), TENANT], SCHEME),
}

GOOD_NAMES = [
    *(
        "a",
        "Z",
        "0",
        "acme",
        "ACME",
        "a.b",
        "a_b",
        "a-b",
        "-",
        "_",
        "...",
        "..a",
        "a..",
        ".a",
        "a.",
    ),
    *("-.-", "a" * 64, "." * 64),
]
BAD_NAMES = [
    *("", ".", "..", "a" * 65, "." * 65, " ", "a b", " acme", "acme ", "acme\n", "\nacme", "a\0"),
    *("a/b", "../acme", "a\\b", "*", "a,b", "a;b", "a:b", "a@b", "a+b", "a%20b", "{tenant}", "a'b"),
    *("\u00e4", "\u0661", "\uff41", "a\u0301", "\U0001f600"),
]


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_tenant_of_call(name: str) -> None:
    """A call acts for the tenant that it names, if its token is for that."""
    metadata: Metadata = [bearer(ISSUED.token(tenant=name)), ("x-twc-tenant", name)]
    assert CALLERS.authenticate(metadata).tenant == name


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_names_of_no_tenant(name: str) -> None:
    """What no tenant can be called is refused as such, though the token names it."""
    metadata: Metadata = [bearer(ISSUED.token(tenant=[name])), ("x-twc-tenant", name)]
    assert refusal(metadata) == (InvalidTenant, BAD_TENANT)


@pytest.mark.parametrize(
    "metadata",
    [
        [TENANT, bearer(GOOD)],
        [("user-agent", "test"), bearer(GOOD), ("trace-bin", b"\xff"), TENANT],
        [("authorization", f"bearer {GOOD}"), TENANT],
        [("authorization", f"BEARER {GOOD}"), TENANT],
        [("authorization", f"bEaReR {GOOD}"), TENANT],
        [("authorization", f"Bearer   {GOOD}"), TENANT],
        [("authorization", f"Bearer {GOOD} "), TENANT],
        [bearer(ISSUED.token(tenant=["other", "acme"])), TENANT],
    ],
    ids=[
        "order",
        "other headers",
        "lower case",
        "upper case",
        "mixed case",
        "more spaces",
        "space after",
        "one of its tenants",
    ],
)
def test_admitted_call(metadata: Metadata) -> None:
    """A call with a token for its tenant is admitted, however it spells the scheme."""
    assert CALLERS.authenticate(metadata).tenant == "acme"


@pytest.mark.parametrize(("metadata", "message"), UNAUTHENTICATED.values(), ids=UNAUTHENTICATED)
def test_unauthenticated_call(metadata: Metadata, message: str) -> None:
    """A call without one good bearer token is told what is wrong with it."""
    kind, said = refusal(metadata)
    assert issubclass(kind, Unauthenticated)
    assert said == message


@pytest.mark.parametrize(("metadata", "message"), UNAUTHENTICATED.values(), ids=UNAUTHENTICATED)
@pytest.mark.parametrize(
    "tenant",
    [[], [("x-twc-tenant", "..")], [TENANT, TENANT]],
    ids=["no tenant", "bad tenant", "two tenants"],
)
def test_identity_first(metadata: Metadata, message: str, tenant: Metadata) -> None:
    """Without a good token nothing is said about the tenant."""
    without = [entry for entry in metadata if entry != TENANT]
    assert refusal([*without, *tenant]) == refusal(without) == (ANY, message)


@pytest.mark.parametrize("token", [GOOD, FOREIGN], ids=["own", "foreign"])
@pytest.mark.parametrize(
    ("tenant", "message"),
    [
        ([], NO_TENANT),
        ([("x-tenant", "acme")], NO_TENANT),
        ([("x-twc-tenant", "acme other")], BAD_TENANT),
        ([TENANT, TENANT], BAD_TENANT),
        ([TENANT, ("x-twc-tenant", "other")], BAD_TENANT),
        ([("x-twc-tenant", ""), TENANT], BAD_TENANT),
        ([("x-twc-tenant", b"acme\xff")], BAD_TENANT),
    ],
    ids=["none", "another header", "bad", "twice", "two", "empty and good", "bytes"],
)
def test_tenant_before_right(token: str, tenant: Metadata, message: str) -> None:
    """A call that names no single tenant is told so, whatever its genuine token is for."""
    assert refusal([bearer(token), *tenant]) == (InvalidTenant, message)


@pytest.mark.parametrize(
    "named",
    ["other", "Acme", "ACME", "acme ", "acm", "acme2", "", "*", [], ["other"], ["*", "acme,other"]],
    ids=repr,
)
def test_foreign_tenant(named: object) -> None:
    """A genuine token is for the tenants it names to the letter, and for no other."""
    metadata: Metadata = [bearer(ISSUED.token(tenant=named)), TENANT]
    assert refusal(metadata) == (TenantForbidden, FORBIDDEN)


def test_keys_out_of_reach() -> None:
    """While the issuer's keys were never read nobody is refused for good."""
    source = Source()
    source.error = OSError("no route")
    kind, _ = refusal([bearer(GOOD), TENANT], callers(source.read))
    assert kind is Unavailable


@pytest.mark.parametrize(
    "metadata",
    [[TENANT], [("authorization", "Basic Og=="), TENANT], [bearer(GOOD), bearer(GOOD), TENANT]],
    ids=["no token", "Basic", "twice"],
)
def test_missing_token_before_keys(metadata: Metadata) -> None:
    """What carries no token is refused without a look at the keys."""
    source = Source(ISSUED)
    kind, _ = refusal(metadata, callers(source.read))
    assert issubclass(kind, Unauthenticated)
    assert source.reads == 0


UNUSUAL: dict[str, Metadata] = {
    "nothing": [],
    "no token": [TENANT],
    "no tenant": [bearer(GOOD)],
    "two tokens": [bearer(GOOD), bearer(GOOD), TENANT],
    "two tenants": [bearer(GOOD), TENANT, TENANT],
    "another scheme": [("authorization", f"Basic {GOOD}"), TENANT],
    "name of no tenant": [bearer(EVERYONE), ("x-twc-tenant", "*")],
    "bytes": [("authorization", f"Bearer {GOOD}".encode()), TENANT],
    "tenant in bytes": [bearer(GOOD), ("x-twc-tenant", b"acme")],
    "another token": [bearer(ISSUED.token(tenant="acme", jti="2")), TENANT],
    "forged": [bearer(FORGED), TENANT],
}


@pytest.fixture(scope="module")
def knowing() -> Authenticator:
    """An authenticator that has verified two tokens."""
    knowing = callers(lambda: parse(jwks(ISSUED)))
    knowing.authenticate([bearer(GOOD), TENANT])
    knowing.authenticate([bearer(EVERYONE), TENANT])
    return knowing


def test_cached_caller() -> None:
    """Who was authenticated before is known without a look at the token, and until when."""
    source = Source(ISSUED)
    knowing = callers(source.read)
    metadata: Metadata = [("user-agent", "test"), bearer(GOOD), TENANT]
    assert knowing.cached(metadata) is None
    assert source.reads == 0
    caller = knowing.authenticate(metadata)
    assert knowing.cached(metadata) == caller == knowing.authenticate(metadata)
    assert caller.tenant == "acme"
    claims = jwt.decode(GOOD, options={"verify_signature": False})
    assert caller.valid_until == claims["exp"] + SKEW


def test_cached_refusal(knowing: Authenticator) -> None:
    """A token that was verified before is refused at once for a tenant that it is not for."""
    assert isinstance(knowing.cached([bearer(GOOD), ("x-twc-tenant", "other")]), TenantForbidden)


@pytest.mark.parametrize("metadata", UNUSUAL.values(), ids=UNUSUAL)
def test_uncached_caller(knowing: Authenticator, metadata: Metadata) -> None:
    """Of a call with anything unusual nothing is said from memory."""
    assert knowing.cached(metadata) is None
