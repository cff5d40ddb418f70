"""Which tokens are believed, for which tenants, and for how long."""

import json
from collections.abc import Callable, Collection
from functools import cache
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import example, given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from tests.support.forged import FUTURE, PAST, TENANT, forged_tokens, genuine_token, signed
from tests.support.steps import ANY_TEXT, EXAMPLES
from tests.support.tokens import AUDIENCE, ISSUER, Issuer, jwks
from tests.unit.identity import (
    POLICY,
    SKEW,
    START,
    TRUST,
    AtOnce,
    Clock,
    Source,
    key_sets_of,
    realm_key_sets,
    stop_clocks,
    verifier,
)
from twc_customer_server.auth import authenticator, realms
from twc_customer_server.auth.authenticator import MAX_TOKEN_LENGTH, NOT_VERIFIABLE, TokenVerifier
from twc_customer_server.auth.jwks import Keys, fetch_realm, parse
from twc_customer_server.auth.key_sets import KeySet
from twc_customer_server.auth.realms import KeySets
from twc_customer_server.errors import Unauthenticated, Unavailable

ISSUED = Issuer()
GENUINE = genuine_token(ISSUED)
FORGED = forged_tokens(ISSUED)
VERIFIER = verifier(lambda: parse(jwks(ISSUED)))

TOO_LONG = "the token is too long"
EXPIRED = "the token has expired"
NOT_YET = "the token is not valid yet"
OTHER_AUDIENCE = "the token is for another audience"
OTHER_ISSUER = "the token is of another issuer"

# What is said of a forged token, where it is more than that it cannot be verified.
SAID = {
    "payload of 64 KiB": TOO_LONG,
    "exp long past": EXPIRED,
    "exp twice, at last past": EXPIRED,
    "nbf far ahead": NOT_YET,
    "iat far ahead": NOT_YET,
    "aud another": OTHER_AUDIENCE,
    "aud with a suffix": OTHER_AUDIENCE,
    "aud list without ours": OTHER_AUDIENCE,
    "iss another": OTHER_ISSUER,
    "iss with a suffix": OTHER_ISSUER,
    "iss with a prefix": OTHER_ISSUER,
}
MESSAGES = {NOT_VERIFIABLE, TOO_LONG, EXPIRED, NOT_YET, OTHER_AUDIENCE, OTHER_ISSUER}


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    """A key for RSA, which takes long to make."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = Ed25519PrivateKey.generate()
PRIVATE: dict[str, Callable[[], Any]] = {
    "RS256": rsa_key,
    "PS256": rsa_key,
    "ES256": lambda: EC_KEY,
    "EdDSA": lambda: ED_KEY,
}
PUBLISHING: dict[str, Any] = {
    "RS256": RSAAlgorithm,
    "PS256": RSAAlgorithm,
    "ES256": ECAlgorithm,
    "EdDSA": OKPAlgorithm,
}

REALMS = TRUST._replace(issuer="https://id.example/realms/{tenant}")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the verifiers that the test makes."""
    return stop_clocks(monkeypatch)


def refusal(verifier: TokenVerifier, token: str) -> str:
    """The message that a token is refused with."""
    with pytest.raises(Unauthenticated) as error:
        verifier.verify(token)
    return str(error.value)


def keys_of(algorithm: str, **entry: Any) -> Keys:
    """The key set of an issuer that signs with an algorithm, under the algorithm's name."""
    public = PUBLISHING[algorithm].to_jwk(PRIVATE[algorithm]().public_key(), as_dict=True)
    key = jwt.PyJWK(public | {"kid": algorithm, "alg": algorithm} | entry)
    return {algorithm: key}


def signed_by(key: Any, algorithm: str, key_id: str) -> str:
    """A token for TENANT, signed with any key."""
    return jwt.encode(ISSUED.claims(tenant=TENANT), key, algorithm, headers={"kid": key_id})


def realm(tenant: str) -> Issuer:
    """The issuer of a tenant's realm."""
    return Issuer(f"https://id.example/realms/{tenant}")


def of_realms(*issuers: Issuer) -> TokenVerifier:
    """A verifier of the realms of some issuers."""
    documents = {issuer.name.rpartition("/")[2]: jwks(issuer) for issuer in issuers}
    return TokenVerifier(REALMS, realm_key_sets(lambda tenant: parse(documents[tenant])))


def test_genuine_token() -> None:
    """The token that the forged ones are made of is believed: each has one fault alone."""
    assert VERIFIER.verify(GENUINE).tenants == {TENANT}


def test_set_of_forged_tokens() -> None:
    """The forged tokens are many, no two are alike, and none changes from call to call."""
    assert len(FORGED) == len({*FORGED.values(), GENUINE}) - 1 >= 45
    assert forged_tokens(ISSUED) == FORGED


@pytest.fixture(scope="module")
def knowing() -> TokenVerifier:
    """A verifier that has believed the genuine token."""
    knowing = verifier(lambda: parse(jwks(ISSUED)))
    knowing.verify(GENUINE)
    return knowing


@pytest.mark.parametrize("name", FORGED)
def test_forged_token(knowing: TokenVerifier, name: str) -> None:
    """A forged token is refused each time, with a fixed message that holds nothing of it."""
    said = refusal(VERIFIER, FORGED[name])
    assert said == SAID.get(name, said)
    assert said in MESSAGES
    assert [refusal(knowing, FORGED[name]) for _ in range(2)] == [said] * 2
    assert knowing.verify(GENUINE).tenants == {TENANT}


@pytest.mark.parametrize(
    "token",
    [
        f"{GENUINE}\n",
        f"\t{GENUINE}",
        f"{GENUINE}\0",
        f"{GENUINE}\u00e4",
        GENUINE.replace(".", "\u2024"),
        GENUINE.replace(".", "\uff0e"),
        f"{GENUINE}\ud800",
        GENUINE.replace("e", "\u0435", 1),
        "\U0001f600",
    ],
    ids=[
        "line break",
        "tab",
        "NUL",
        "umlaut",
        "one dot leader",
        "full-width dots",
        "lone surrogate",
        "Cyrillic letter",
        "emoji",
    ],
)
def test_unprintable_characters(token: str) -> None:
    """Characters that no token holds make none of a genuine one."""
    assert refusal(VERIFIER, token) == NOT_VERIFIABLE


@pytest.mark.parametrize(
    ("named", "tenants"),
    [
        ("acme", {"acme"}),
        (["acme"], {"acme"}),
        (["acme", "other", "acme"], {"acme", "other"}),
        ([], set()),
        ("", {""}),
    ],
    ids=["string", "list of one", "list", "empty list", "empty string"],
)
def test_tenant_claim(named: Any, tenants: Collection[str]) -> None:
    """A claim names the token's tenant, or lists its tenants."""
    assert VERIFIER.verify(ISSUED.token(tenant=named)).tenants == tenants


def test_tenant_claim_of_another_name() -> None:
    """Which claim names the tenants is a setting, and no other claim does."""
    trust = TRUST._replace(tenant_claim="https://example.com/tenants")
    other = verifier(lambda: parse(jwks(ISSUED)), trust)
    token = ISSUED.token(**{"https://example.com/tenants": ["acme"], "tenant": "other"})
    assert other.verify(token).tenants == {"acme"}
    assert refusal(other, ISSUED.token(tenant="acme")) == NOT_VERIFIABLE


@pytest.mark.parametrize(
    ("header", "claims"),
    [
        ({"typ": "at+jwt"}, {}),
        ({"typ": "jwt"}, {}),
        ({"crit": ["b64"], "b64": True}, {}),
        ({"x-other": [1]}, {}),
        ({}, {"aud": [AUDIENCE]}),
        ({}, {"aud": ["other-api", AUDIENCE]}),
        ({}, {"nbf": PAST}),
        ({}, {"nbf": PAST + 0.5, "iat": PAST + 0.5, "exp": FUTURE + 0.5}),
        ({}, {"scope": {"nested": [1, None]}}),
    ],
    ids=[
        "access token",
        "type in lower case",
        "crit that is understood",
        "other header",
        "list of our audience",
        "list with our audience",
        "valid for long",
        "fractions of seconds",
        "other claims",
    ],
)
def test_permitted_variations(header: dict[str, Any], claims: dict[str, Any]) -> None:
    """What the standard lets issuers vary is believed."""
    assert VERIFIER.verify(signed(ISSUED, header, claims)).tenants == {TENANT}


@pytest.mark.parametrize("absent", ["iat", "sub"])
def test_optional_claims(absent: str) -> None:
    """What a token need not say may be left out."""
    assert VERIFIER.verify(ISSUED.token(tenant="acme", **{absent: None})).tenants == {"acme"}


def test_longest_token() -> None:
    """A token is read up to its greatest length and refused beyond, whatever it says."""
    by_length = {
        len(token): token
        for token in (
            signed(ISSUED, {}, {"pad": "x" * size})
            for size in range(MAX_TOKEN_LENGTH // 4 * 3 - 400, MAX_TOKEN_LENGTH // 4 * 3)
        )
    }
    longest = max(length for length in by_length if length <= MAX_TOKEN_LENGTH)
    longer = min(length for length in by_length if length > MAX_TOKEN_LENGTH)
    assert longer - longest <= 2
    assert VERIFIER.verify(by_length[longest]).tenants == {TENANT}
    assert refusal(VERIFIER, by_length[longer]) == TOO_LONG


@pytest.mark.parametrize("algorithm", PRIVATE)
def test_algorithms(algorithm: str) -> None:
    """Each allowed algorithm proves tokens with a key of its kind."""
    believing = verifier(lambda: keys_of(algorithm))
    token = signed_by(PRIVATE[algorithm](), algorithm, algorithm)
    assert believing.verify(token).tenants == {TENANT}


@pytest.mark.parametrize("algorithm", PRIVATE)
def test_disallowed_algorithm(algorithm: str) -> None:
    """A genuine token is refused if its algorithm is not in the settings."""
    others = [it for it in PRIVATE if it != algorithm]
    refusing = verifier(lambda: keys_of(algorithm), TRUST._replace(algorithms=others))
    token = signed_by(PRIVATE[algorithm](), algorithm, algorithm)
    assert refusal(refusing, token) == NOT_VERIFIABLE


@pytest.mark.parametrize(
    ("algorithm", "published"),
    [
        ("RS384", "RS256"),
        ("RS512", "RS256"),
        ("PS256", "RS256"),
        ("PS384", "PS256"),
        ("RS256", "PS256"),
    ],
)
@pytest.mark.parametrize("allowed", [TRUST.algorithms, ["RS256", "RS384", "RS512", "PS256"]])
def test_algorithm_of_another_key(algorithm: str, published: str, allowed: list[str]) -> None:
    """The right key proves nothing with an algorithm that it is not for, allowed or not."""
    refusing = verifier(lambda: keys_of(published), TRUST._replace(algorithms=allowed))
    assert refusal(refusing, signed_by(rsa_key(), algorithm, published)) == NOT_VERIFIABLE


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_weak_key() -> None:
    """An RSA key that is too short to be safe proves nothing, however genuine it is."""
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505
    entry = RSAAlgorithm.to_jwk(weak.public_key(), as_dict=True) | {"kid": "weak"}
    refusing = verifier(lambda: parse(json.dumps({"keys": [entry]}).encode()))
    assert refusal(refusing, signed_by(weak, "RS256", "weak")) == NOT_VERIFIABLE


def test_algorithm_of_a_symmetric_key() -> None:
    """A secret among the published keys proves nothing: all may know it."""
    secret = b"s" * 32
    entry = {
        "kty": "oct",
        "kid": "oct",
        "alg": "HS256",
        "k": "c3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3Nzc3M",
    }
    refusing = verifier(lambda: {"oct": jwt.PyJWK(entry)})
    assert refusal(refusing, signed_by(secret, "HS256", "oct")) == NOT_VERIFIABLE


@pytest.mark.parametrize(
    "signature", [bytes(64), bytes(32) + b"\1" * 32, b"\xff" * 64, b"0\6\2\1\0\2\1\0", b""]
)
def test_made_up_es256_signature(signature: bytes) -> None:
    """Numbers that fit a careless check of ES256 are no signature."""
    refusing = verifier(lambda: keys_of("ES256"))
    text = signed_by(EC_KEY, "ES256", "ES256").rpartition(".")[0]
    forged = f"{text}.{jwt.utils.base64url_encode(signature).decode()}"
    assert refusal(refusing, forged) == NOT_VERIFIABLE


@pytest.mark.parametrize(
    ("claims", "since", "until"),
    [
        ({"exp": START + 100}, -1e6, START + 100 + SKEW),
        ({"exp": START + 100, "nbf": START + 50}, START + 50 - SKEW, START + 100 + SKEW),
        ({"exp": START + 100, "iat": START + 50}, START + 50 - SKEW, START + 100 + SKEW),
    ],
    ids=["exp", "nbf", "iat"],
)
def test_skew(clock: Clock, claims: dict[str, int], since: float, until: float) -> None:
    """A token's times may be off by the skew, and by no more."""
    token = ISSUED.token(tenant="acme", **({"iat": None} | claims))

    def said_at(moment: float) -> str:
        clock.now = moment - START
        fresh = verifier(lambda: parse(jwks(ISSUED)))
        try:
            return ",".join(fresh.verify(token).tenants)
        except Unauthenticated as refused:
            return str(refused)

    assert [said_at(since), said_at(until - 0.01), said_at(until)] == ["acme", "acme", EXPIRED]
    assert [said_at(since - 0.01)] == [NOT_YET if since > 0 else "acme"]


def test_no_skew(clock: Clock) -> None:
    """Without a skew a token ends when it says so."""
    token = ISSUED.token(tenant="acme", iat=None, exp=START + 1)
    exact = verifier(lambda: parse(jwks(ISSUED)), TRUST._replace(clock_skew_seconds=0))
    clock.now = 0.99
    assert exact.verify(token).tenants == {"acme"}
    clock.now = 1
    assert refusal(exact, token) == EXPIRED


class Counted(KeySets):
    """The key set of one issuer, which counts how often it is asked."""

    def __init__(self, source: Source) -> None:
        super().__init__(lambda _: source.read(), POLICY, proven=AtOnce())
        self.keys = self.add_one_issuer()
        self.finds = 0

    def find(self, *sought: Any, **of_call: Any) -> tuple[KeySet, jwt.PyJWK | None]:
        """Counts, and finds a key."""
        self.finds += 1
        return super().find(*sought, **of_call)


def counting(source: Source) -> tuple[TokenVerifier, Counted]:
    """A verifier, and its key set that counts."""
    counted = Counted(source)
    return TokenVerifier(TRUST, counted), counted


def test_remembered_token() -> None:
    """A token that was verified is not verified again; another is."""
    remembering, counted = counting(Source(ISSUED))
    assert [remembering.verify(GENUINE).tenants for _ in range(100)] == [{TENANT}] * 100
    assert counted.finds == 1
    remembering.verify(ISSUED.token(tenant="other"))
    assert counted.finds == 2


def test_refused_token_again() -> None:
    """A token that is refused takes no room among those remembered, and is verified each time."""
    remembering, counted = counting(Source(ISSUED))
    bad = FORGED["tenant missing"]
    assert [refusal(remembering, bad) for _ in range(3)] == [NOT_VERIFIABLE] * 3
    assert counted.finds == 3


def test_remembered_token_after_expiry(clock: Clock) -> None:
    """A remembered token is refused as soon as it would be if it were not."""
    remembering, counted = counting(Source(ISSUED))
    token = ISSUED.token(tenant="acme", iat=None, exp=START + 100)
    remembering.verify(token)
    clock.now = 100 + SKEW - 0.01
    assert remembering.verify(token).tenants == {"acme"}
    assert counted.finds == 1
    clock.now = 100 + SKEW
    assert refusal(remembering, token) == EXPIRED


def test_remembered_token_of_removed_key(clock: Clock) -> None:
    """A remembered token is refused once its key is gone and its lifetime over."""
    successor = Issuer(key_id="key-2")
    source = Source(ISSUED)
    remembering, counted = counting(source)
    remembering.verify(GENUINE)
    source.publish(successor)
    clock.now = POLICY.lifetime - 0.01
    assert remembering.verify(GENUINE).tenants == {TENANT}
    assert counted.finds == 1
    clock.now = POLICY.lifetime
    assert refusal(remembering, GENUINE) == NOT_VERIFIABLE
    assert remembering.verify(successor.token(tenant="acme", iat=None, exp=FUTURE)).tenants == {
        "acme"
    }


def test_remembered_token_after_key_renewal(clock: Clock) -> None:
    """A token is remembered no longer than the keys that proved it, though others came meanwhile.

    Between the finding of the key and the remembering, another thread may renew the keys.
    """
    source = Source(ISSUED)

    class Overtaken(Counted):
        """A key set that another thread renews as soon as the key is found."""

        def find(self, realm: str, key_id: str, *of_call: Any) -> tuple[KeySet, jwt.PyJWK | None]:
            found = super().find(realm, key_id, *of_call)
            source.publish(Issuer(key_id="key-2"))
            clock.now += POLICY.cooldown
            super().find(realm, "key-2", *of_call)
            return found

    remembering = TokenVerifier(TRUST, Overtaken(source))
    assert remembering.verify(GENUINE).tenants == {TENANT}
    assert refusal(remembering, GENUINE) == NOT_VERIFIABLE


def test_too_many_remembered_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more tokens than a set number are remembered; the oldest is forgotten."""
    monkeypatch.setattr(authenticator, "MAX_CACHED", 3)
    remembering, counted = counting(Source(ISSUED))
    given = [ISSUED.token(tenant=str(number)) for number in range(4)]
    for token in given:
        remembering.verify(token)
    assert counted.finds == 4
    assert [remembering.verify(token).tenants for token in given[1:]] == [{"1"}, {"2"}, {"3"}]
    assert counted.finds == 4
    assert remembering.verify(given[0]).tenants == {"0"}
    assert counted.finds == 5


def test_realms() -> None:
    """With a realm per tenant the issuer names the tenant, and no claim does."""
    acme, other = realm("acme"), realm("other")
    believing = of_realms(acme, other)
    assert believing.verify(acme.token()).tenants == {"acme"}
    assert believing.verify(other.token(tenant="acme")).tenants == {"other"}


def test_realm_of_remembered_tokens(clock: Clock) -> None:
    """The keys of a realm are kept fresh while its tokens are used, though these are remembered."""
    reads: list[str] = []

    def read(tenant: str) -> Keys:
        reads.append(tenant)
        return keys

    issuer = realm("acme")
    keys = parse(jwks(issuer))
    sets = realm_key_sets(read)
    believing = TokenVerifier(REALMS, sets)
    token = issuer.token(iat=None, exp=START + 10 * POLICY.stale)
    believing.verify(token)
    clock.now = POLICY.lifetime / 2
    assert believing.cached(token)
    # So long after the first use that keys would not be refreshed any more.
    clock.now = POLICY.stale + 1
    sets.refresh_due()
    assert reads == ["acme", "acme"]
    clock.now += POLICY.stale
    sets.refresh_due()
    assert reads == ["acme", "acme"]


@pytest.mark.parametrize("name", ["a", "A-Z_0.9", "a" * 64, "...", ".a", "a.", "..a", "-", "_"])
def test_realm_names(name: str) -> None:
    """The realm of every name that a tenant can have is believed."""
    issuer = realm(name)
    assert of_realms(issuer).verify(issuer.token()).tenants == {name}


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "a/b", "../acme", "a" * 65, "a b", "acme\n", "\u00e4", "\u0661", "a%2Fb", "*"],
    ids=repr,
)
def test_realms_of_no_tenant(name: str) -> None:
    """No keys are looked for at a place that a name leads to which no tenant can have."""
    asked: list[str] = []

    def read(tenant: str) -> Keys:
        asked.append(tenant)
        return {}

    believing = TokenVerifier(REALMS, realm_key_sets(read))
    assert refusal(believing, realm(name).token()) == OTHER_ISSUER
    assert asked == []


@pytest.mark.parametrize(
    "name",
    [
        "https://id.example/realms/acme/",
        "https://id.example/realms/acme/protocol",
        "https://evil.example/realms/acme",
        "https://idxexample/realms/acme",
        "http://id.example/realms/acme",
        "https://id.example/realms/acme?",
        "https://id.example/realms/{tenant}",
        "https://id.example/realms/acme#",
        " https://id.example/realms/acme",
    ],
)
def test_issuers_beside_the_realms(name: str) -> None:
    """An issuer that only resembles the template is another."""
    assert refusal(of_realms(realm("acme")), Issuer(name).token()) == OTHER_ISSUER


def test_realm_of_another_key() -> None:
    """The key of one realm makes no token good for another."""
    acme, other = realm("acme"), realm("other")
    believing = of_realms(acme, other)
    other.name = acme.name
    assert believing.verify(acme.token()).tenants == {"acme"}
    assert refusal(believing, other.token()) == NOT_VERIFIABLE
    assert refusal(believing, other.token(tenant="acme")) == NOT_VERIFIABLE


def test_made_up_realm(tmp_path: Path) -> None:
    """A token of a made up realm is not genuine, however sound the service is."""
    (tmp_path / "acme.json").write_bytes(jwks(realm("acme")))
    believing = TokenVerifier(
        REALMS,
        realm_key_sets(lambda tenant: fetch_realm(str(tmp_path / f"{tenant}.json"))),
    )
    assert refusal(believing, realm("ghost").token()) in MESSAGES


def test_too_many_realms(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key sets of no more realms than a set number are kept."""
    monkeypatch.setattr(realms, "MAX_KEPT", 2)
    read: list[str] = []

    def read_realm(tenant: str) -> Keys:
        read.append(tenant)
        return {}

    believing = TokenVerifier(REALMS, realm_key_sets(read_realm))
    for name in ("a", "b", "a", "c", "c", "b", "a"):
        refusal(believing, realm(name).token())
    assert read == ["a", "b", "c", "a"]


def test_invented_realms_beside_real_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many realms are made up, those that a genuine token came from stay."""
    monkeypatch.setattr(realms, "MAX_KEPT", 2)
    acme = realm("acme")
    read: list[str] = []

    def read_realm(tenant: str) -> Keys:
        read.append(tenant)
        return parse(jwks(acme))

    believing = TokenVerifier(REALMS, realm_key_sets(read_realm))
    assert believing.verify(acme.token()).tenants == {"acme"}
    for name in ("x", "y", "z"):
        refusal(believing, realm(name).token())
    assert believing.verify(acme.token(jti="2")).tenants == {"acme"}
    assert read == ["acme", "x", "y", "z"]


def test_remembered_token_while_issuer_is_away(clock: Clock) -> None:
    """A remembered token is believed as long as the keys at hand count."""
    source = Source(ISSUED)
    sets = key_sets_of(source.read)
    remembering = TokenVerifier(TRUST, sets)
    assert remembering.verify(GENUINE).tenants == {TENANT}
    source.error = OSError("no route")
    for clock.now in range(0, int(POLICY.stale), 100):
        sets.refresh_due()
        assert remembering.cached(GENUINE)
    clock.now = POLICY.stale
    assert remembering.cached(GENUINE) is None
    with pytest.raises(Unavailable):
        remembering.verify(GENUINE)


@pytest.mark.parametrize("token", [GENUINE, FORGED["signature of zeros"]], ids=["good", "forged"])
def test_keys_out_of_reach(token: str) -> None:
    """A token is neither believed nor refused for good while the issuer's keys were never read."""
    source = Source()
    source.error = OSError("no route")
    without_keys = verifier(source.read)
    with pytest.raises(Unavailable, match="cannot be fetched"):
        without_keys.verify(token)


@EXAMPLES
@given(ANY_TEXT)
def test_any_text(text: str) -> None:
    """Whatever is sent in the place of a token is refused, and never fails otherwise."""
    assert refusal(VERIFIER, text) in MESSAGES


@EXAMPLES
@given(
    st.binary(max_size=60).map(lambda it: jwt.utils.base64url_encode(it).decode()),
    st.dictionaries(st.sampled_from(["alg", "kid", "crit", "b64", "jwk"]), st.none())
    | st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=4)),
    st.dictionaries(
        st.sampled_from(["iss", "aud", "exp", "nbf", "iat", "tenant"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
            lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner),
            max_leaves=4,
        ),
    ),
)
def test_any_parts(garbage: str, header: dict[str, Any], claims: dict[str, Any]) -> None:
    """Whatever the parts of a token say, it is refused if it is unsigned, and never fails."""
    text = signed(ISSUED, header, claims).rpartition(".")[0]
    assert refusal(VERIFIER, f"{text}.{garbage}") in MESSAGES


PLACES = st.integers(0, len(GENUINE) - 1)


@EXAMPLES
@given(PLACES, st.sampled_from(["flip", "insert", "delete"]), st.characters(codec="utf-8"))
@example(len(GENUINE) - 1, "flip", "A")
@example(0, "delete", "A")
def test_mutations(place: int, kind: str, character: str) -> None:
    """A genuine token whose header or payload differs in a character is refused.

    Of the signature the last bits count for nothing: there all that matters
    is that nothing else is raised.
    """
    inserted = "" if kind == "delete" else character
    rest = GENUINE[place:] if kind == "insert" else GENUINE[place + 1 :]
    mutated = GENUINE[:place] + inserted + rest
    try:
        believed = VERIFIER.verify(mutated).tenants
    except Unauthenticated as refused:
        assert str(refused) in MESSAGES  # noqa: PT017 - not to be refused is no failure
    else:
        assert believed == {TENANT}
        assert mutated.rpartition(".")[0] == GENUINE.rpartition(".")[0]


def test_pattern_in_issuer_name() -> None:
    """What an issuer's name means in a pattern it does not mean here."""
    odd = Issuer("https://issuer.example/(a|b)+?x=[1]*")
    trust = TRUST._replace(issuer=odd.name)
    believing = verifier(lambda: parse(jwks(odd)), trust)
    assert believing.verify(odd.token(tenant="acme")).tenants == {"acme"}
    odd.name = "https://issuer.example/ax=1"
    assert refusal(believing, odd.token(tenant="acme")) == OTHER_ISSUER
    odd.name = ISSUER
    assert refusal(believing, odd.token(tenant="acme")) == OTHER_ISSUER
