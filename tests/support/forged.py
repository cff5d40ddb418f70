"""Tokens that look like an issuer's and are not to be believed, each for one reason."""

import base64
import hashlib
import hmac
import json
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import OKPAlgorithm

from tests.support.tokens import AUDIENCE, Issuer, jwks

# The tenant that every forged token would be good for.
TENANT = "acme"

PAST = 1_600_000_000
FUTURE = 4_000_000_000
EVIL = "https://evil.example"

# The order of Ed25519's group: adding it to a signature's number must not give another signature.
_ORDER = 2**252 + 27742317777372353535851937790883648493

_ATTACKER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
_ATTACKER_JWK = OKPAlgorithm.to_jwk(_ATTACKER.public_key(), as_dict=True)
_ATTACKER_DER = base64.b64encode(
    _ATTACKER.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
).decode()


def genuine_token(issuer: Issuer) -> str:
    """The token that the forged ones are made of: good for TENANT, and until 2096."""
    return _signed(issuer)


def forged_tokens(issuer: Issuer) -> dict[str, str]:
    """Tokens of printable ASCII to be refused, by what is wrong with them; always the same."""
    groups = (
        _algorithms(issuer),
        _secrets(issuer),
        _key_ids(issuer),
        _foreign_keys(issuer),
        _headers(issuer),
        _audiences(issuer),
        _issuers(issuer),
        _times(issuer),
        _claims_of_other_types(issuer),
        _payloads(issuer),
        _shapes(issuer),
        _encodings(issuer),
        _signatures(issuer),
    )
    return {name: token for group in groups for name, token in group.items()}


def signed(issuer: Issuer, header: dict[str, Any], claims: dict[str, Any]) -> str:
    """The genuine token but for parts of its header and its claims; null is null."""
    return _signed(issuer, _header(issuer) | header, _claims(issuer) | claims)


def _algorithms(issuer: Issuer) -> dict[str, str]:
    good = genuine_token(issuer)
    signing = {
        "empty": "",
        "null": None,
        "number": 7,
        "list": [issuer.algorithm],
        "object": {"name": issuer.algorithm},
        "in lower case": issuer.algorithm.lower(),
        "RS256": "RS256",
        "RS384": "RS384",
        "PS256": "PS256",
        "ES256": "ES256",
        "HS256": "HS256",
        "none": "none",
    }
    unsigned = {
        f"alg {name} and unsigned": f"{_part(_header(issuer) | {'alg': name})}.{_payload(good)}."
        for name in ("none", "None", "NONE", "nOnE", "none ")
    }
    return {
        **unsigned,
        **{f"alg {name}": signed(issuer, {"alg": alg}, {}) for name, alg in signing.items()},
        "alg missing": _signed(issuer, _without(_header(issuer), "alg")),
        "alg twice, at last none": _signed(issuer, _json(_header(issuer))[:-1] + b',"alg":"none"}'),
    }


def _secrets(issuer: Issuer) -> dict[str, str]:
    """The public key, which all know, taken for the secret of an HMAC."""
    public = issuer.key.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    secrets = {
        "PEM": pem,
        "PEM without its last line break": pem.strip(),
        "DER": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "raw": public.public_bytes(Encoding.Raw, PublicFormat.Raw),
        "OpenSSH": public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        "JWK": _json(issuer.jwk()),
        "JWKS": jwks(issuer),
        "x of the JWK": issuer.jwk()["x"].encode(),
    }
    of_hash = {
        f"HS256 with the public key as {name}": _hmac(issuer, "HS256", secret)
        for name, secret in secrets.items()
    }
    return {
        **of_hash,
        "HS512 with the public key as PEM": _hmac(issuer, "HS512", pem),
        "HS256 with an empty secret": _hmac(issuer, "HS256", b""),
        f"{issuer.algorithm} with an HMAC by the public key": _hmac(issuer, issuer.algorithm, pem),
    }


def _key_ids(issuer: Issuer) -> dict[str, str]:
    key_ids = {
        "unknown": "unknown",
        "empty": "",
        "null": None,
        "number": 1,
        "true": True,
        "list": [issuer.key_id],
        "object": {"kid": issuer.key_id},
        "in upper case": issuer.key_id.upper(),
        "with a space": f"{issuer.key_id} ",
        "path": "../../../../dev/null",
        "SQL": "' UNION SELECT 'key' --",
        "long": "k" * 4096,
    }
    return {
        **{f"kid {name}": signed(issuer, {"kid": kid}, {}) for name, kid in key_ids.items()},
        "kid missing": _signed(issuer, _without(_header(issuer), "kid")),
        "kid missing and key of another": _signed(
            issuer, _without(_header(issuer), "kid"), key=_ATTACKER
        ),
    }


def _foreign_keys(issuer: Issuer) -> dict[str, str]:
    """Tokens that bring their key along, or say where to get it."""
    brought: dict[str, dict[str, Any]] = {
        "jwk": {"jwk": _ATTACKER_JWK},
        "jwk with the issuer's kid": {"jwk": _ATTACKER_JWK | {"kid": issuer.key_id}},
        "jku": {"jku": f"{EVIL}/jwks.json"},
        "jku of a file": {"jku": "file:///tmp/jwks.json"},
        "x5u": {"x5u": f"{EVIL}/chain.pem"},
        "x5c": {"x5c": [_ATTACKER_DER]},
        "x5t": {"x5t": _encode(hashlib.sha1(b"key", usedforsecurity=False).digest())},
    }
    return {
        **{
            f"{name} of another key": _signed(issuer, _header(issuer) | header, key=_ATTACKER)
            for name, header in brought.items()
        },
        "jwk of another key under its own kid": _signed(
            issuer, _header(issuer) | {"kid": "own", "jwk": _ATTACKER_JWK}, key=_ATTACKER
        ),
        "key of another under the same kid": _signed(issuer, key=_ATTACKER),
    }


def _headers(issuer: Issuer) -> dict[str, str]:
    headers: dict[str, Any] = {
        "list": [_header(issuer)],
        "string": issuer.algorithm,
        "number": 7,
        "null": None,
        "empty": {},
        "of nothing": b"",
        "no JSON": b"{alg:EdDSA}",
        "cut JSON": _json(_header(issuer))[:-1],
        "not UTF-8": _json(_header(issuer))[:-1] + b',"a":"\xff"}',
        "nested deeply": b'{"a":' + b"[" * 5000,
        "with an unknown crit": _header(issuer) | {"crit": ["exp"], "exp": FUTURE},
        "with a made up crit": _header(issuer) | {"crit": ["x-made-up"]},
        "with an empty crit": _header(issuer) | {"crit": []},
        "whose crit is no list": _header(issuer) | {"crit": "b64", "b64": True},
        "whose crit holds a number": _header(issuer) | {"crit": [7]},
        "whose crit names what is not there": _header(issuer) | {"crit": ["b64"]},
        "with b64 false": _header(issuer) | {"b64": False, "crit": ["b64"]},
        "with b64 false and no crit": _header(issuer) | {"b64": False},
        "of a nested JWT": _header(issuer) | {"typ": "JWT", "cty": "JWT", "crit": ["cty"]},
    }
    return {f"header {name}": _signed(issuer, header) for name, header in headers.items()}


def _audiences(issuer: Issuer) -> dict[str, str]:
    audiences = {
        "another": "other-api",
        "with a suffix": f"{AUDIENCE}-2",
        "with a prefix": f"my-{AUDIENCE}",
        "cut": AUDIENCE[:-1],
        "in upper case": AUDIENCE.upper(),
        "with a space": f"{AUDIENCE} ",
        "empty": "",
        "list without ours": ["other-api", "another-api"],
        "list that spells ours": [*AUDIENCE],
        "list of nothing": [],
        "list with a number": [AUDIENCE, 7],
        "list in a list": [[AUDIENCE]],
        "number": 7,
        "true": True,
        "null": None,
        "object": {AUDIENCE: AUDIENCE},
    }
    return {
        **{f"aud {name}": signed(issuer, {}, {"aud": aud}) for name, aud in audiences.items()},
        "aud missing": _signed(issuer, payload=_without(_claims(issuer), "aud")),
        "aud twice, at last another": _twice(issuer, aud="other-api"),
    }


def _issuers(issuer: Issuer) -> dict[str, str]:
    issuers = {
        "another": EVIL,
        "with a slash": f"{issuer.name}/",
        "with a suffix": f"{issuer.name}.evil.example",
        "with a prefix": f"{EVIL}/{issuer.name}",
        "with a line break": f"{issuer.name}\n",
        "with a space": f" {issuer.name}",
        "with other dots": issuer.name.replace(".", "x"),
        "in upper case": issuer.name.upper(),
        "cut": issuer.name[:-1],
        "empty": "",
        "list": [issuer.name],
        "number": 7,
        "null": None,
        "object": {"iss": issuer.name},
    }
    return {
        **{f"iss {name}": signed(issuer, {}, {"iss": iss}) for name, iss in issuers.items()},
        "iss missing": _signed(issuer, payload=_without(_claims(issuer), "iss")),
        "iss twice, at last another": _twice(issuer, iss=EVIL),
    }


def _times(issuer: Issuer) -> dict[str, str]:
    wrong = {
        "null": None,
        "text": "tomorrow",
        "empty text": "",
        "list": [FUTURE],
        "object": {"seconds": FUTURE},
        "not a number": float("nan"),
        "infinite": float("inf"),
    }
    times: dict[str, tuple[str, Any]] = {
        f"{claim} {name}": (claim, value)
        for claim in ("exp", "nbf", "iat")
        for name, value in wrong.items()
    }
    times |= {
        "exp long past": ("exp", PAST),
        "exp zero": ("exp", 0),
        "exp negative": ("exp", -FUTURE),
        "exp infinitely past": ("exp", -float("inf")),
        "exp number as text": ("exp", str(FUTURE)),
        "exp true": ("exp", True),
        "exp beyond any clock": ("exp", 10**400),
        "nbf far ahead": ("nbf", FUTURE),
        "nbf number as text": ("nbf", str(PAST)),
        "nbf true": ("nbf", True),
        "iat far ahead": ("iat", FUTURE),
        "iat number as text": ("iat", str(PAST)),
        "iat true": ("iat", True),
    }
    return {
        **{name: signed(issuer, {}, {claim: time}) for name, (claim, time) in times.items()},
        "exp missing": _signed(issuer, payload=_without(_claims(issuer), "exp")),
        "exp twice, at last past": _twice(issuer, exp=PAST),
    }


def _claims_of_other_types(issuer: Issuer) -> dict[str, str]:
    tenants = {
        "number": 7,
        "true": True,
        "null": None,
        "object": {TENANT: TENANT},
        "list in a list": [[TENANT]],
        "list with a number": [TENANT, 7],
        "list with null": [TENANT, None],
    }
    return {
        **{f"tenant {it}": signed(issuer, {}, {"tenant": value}) for it, value in tenants.items()},
        "tenant missing": _signed(issuer, payload=_without(_claims(issuer), "tenant")),
        "sub number": signed(issuer, {}, {"sub": 7}),
        "jti number": signed(issuer, {}, {"jti": 7}),
    }


def _payloads(issuer: Issuer) -> dict[str, str]:
    whole = _json(_claims(issuer))
    payloads: dict[str, Any] = {
        "list": [_claims(issuer)],
        "string": TENANT,
        "number": 7,
        "null": None,
        "true": True,
        "of nothing": b"",
        "no JSON": b"tenant=acme",
        "cut JSON": whole[:-1],
        "more than JSON": whole + whole,
        "not UTF-8": whole[:-1] + b',"a":"\xff"}',
        "with a number of 5,000 digits": whole[:-1] + b',"a":' + b"9" * 5000 + b"}",
        "of a nested JWT": genuine_token(issuer).encode(),
        "of 64 KiB": _claims(issuer) | {"pad": "x" * (48 << 10)},
    }
    return {f"payload {it}": _signed(issuer, payload=payload) for it, payload in payloads.items()}


def _shapes(issuer: Issuer) -> dict[str, str]:
    good = genuine_token(issuer)
    header, payload, signature = good.split(".")
    jwe = _part({"alg": "RSA-OAEP", "enc": "A256GCM"})
    return {
        "nothing": "",
        "one dot": ".",
        "two dots": "..",
        "three dots": "...",
        "a word": "token",
        "a password": _encode(b"acme:password"),
        "header alone": header,
        "header and a dot": f"{header}.",
        "no signature": f"{header}.{payload}",
        "an empty signature": f"{header}.{payload}.",
        "no header": f".{payload}.{signature}",
        "no payload": f"{header}..{signature}",
        "header cut": f"{header[:-4]}.{payload}.{signature}",
        "payload cut": f"{header}.{payload[:-4]}.{signature}",
        "signature cut": good[:-4],
        "last character cut": good[:-1],
        "first character cut": good[1:],
        "cut in the middle": good[: len(good) // 2],
        "parts in another order": f"{payload}.{header}.{signature}",
        "four parts": f"{good}.{signature}",
        "four parts, the last empty": f"{good}.",
        "four parts, the first empty": f".{good}",
        "five parts": f"{good}.{payload}.{signature}",
        "JWE": f"{jwe}.{_encode(bytes(256))}.{_encode(bytes(12))}.{payload}.{_encode(bytes(16))}",
        "JWE with a direct key": f"{_part({'alg': 'dir', 'enc': 'A256GCM'})}..AAAA.{payload}.AAAA",
        "JSON serialization": _json(
            {"protected": header, "payload": payload, "signature": signature}
        ).decode(),
        "twice, by a comma": f"{good},{good}",
        "twice, by a space": f"{good} {good}",
        "scheme twice": f"Bearer {good}",
        "quoted": f'"{good}"',
    }


def _encodings(issuer: Issuer) -> dict[str, str]:
    good = genuine_token(issuer)
    header, payload, signature = good.split(".")
    # Its length is such that base64 pads it.
    claims = _json(_claims(issuer))
    claims += b" " * (1 + -len(claims) % 3)
    padded = f"{header}.{base64.urlsafe_b64encode(claims).decode()}"
    return {
        "space in the payload": f"{header}.{payload[:8]} {payload[8:]}.{signature}",
        "space before a dot": f"{header} .{payload}.{signature}",
        "characters that are not base64url": f"{header}.{payload[:8]}!*{payload[8:]}.{signature}",
        "plus of base64": f"{header}.{payload[:8]}+{payload[9:]}.{signature}",
        "slash of base64": f"{header}.{payload[:8]}/{payload[9:]}.{signature}",
        "percent-encoded": good.replace(".", "%2E"),
        "in upper case": good.upper(),
        "in hexadecimal": good.encode().hex(),
        "padding of the signed payload": _with_signature(issuer, padded),
        "padding of the signature": f"{good}==",
        "more padding than there is": f"{good}====",
        "padding in the middle": f"{header}.{payload[:8]}={payload[8:]}.{signature}",
        "unused bits of the signature": good[:-1] + chr(ord(good[-1]) + 1),
        "signature in hexadecimal": f"{header}.{payload}.{_decode(signature).hex()}",
    }


def _signatures(issuer: Issuer) -> dict[str, str]:
    good = genuine_token(issuer)
    header, payload, signature = good.split(".")
    raw = _decode(signature)
    beyond = int.from_bytes(raw[32:], "little") + _ORDER
    other = signed(issuer, {}, {"tenant": "other"})
    signatures = {
        "of another token": _decode(other.rpartition(".")[2]),
        "of the header": issuer.key.sign(header.encode()),
        "of the payload": issuer.key.sign(payload.encode()),
        "of the decoded parts": issuer.key.sign(_json(_header(issuer)) + _json(_claims(issuer))),
        "of zeros": bytes(64),
        "with a bit turned": bytes([raw[0] ^ 1]) + raw[1:],
        "with the last bit turned": raw[:-1] + bytes([raw[-1] ^ 1]),
        "twice": raw + raw,
        "with a byte more": raw + b"\0",
        "with a byte less": raw[:-1],
        "of a number beyond the group": raw[:32] + beyond.to_bytes(32, "little"),
    }
    return {
        **{f"signature {it}": f"{header}.{payload}.{_encode(s)}" for it, s in signatures.items()},
        "payload changed after signing": f"{header}.{_payload(other)}.{signature}",
        "header changed after signing": f"{_part(_header(issuer) | {'typ': 'at+jwt'})}"
        f".{payload}.{signature}",
        "alg changed after signing": f"{_part(_header(issuer) | {'alg': 'RS256'})}"
        f".{payload}.{signature}",
        "header spelt differently after signing": f"{_encode(_json(_header(issuer)) + b' ')}"
        f".{payload}.{signature}",
    }


def _header(issuer: Issuer) -> dict[str, Any]:
    return {"alg": issuer.algorithm, "kid": issuer.key_id, "typ": "JWT"}


def _claims(issuer: Issuer) -> dict[str, Any]:
    return {
        "iss": issuer.name,
        "aud": AUDIENCE,
        "sub": "test",
        "iat": PAST,
        "exp": FUTURE,
        "tenant": TENANT,
    }


def _twice(issuer: Issuer, **claim: Any) -> str:
    """The genuine token with a claim that is there already once more, at the end."""
    return _signed(issuer, payload=_json(_claims(issuer))[:-1] + b"," + _json(claim)[1:])


def _signed(
    issuer: Issuer, header: Any = ..., payload: Any = ..., key: Ed25519PrivateKey | None = None
) -> str:
    """A token with a signature that is right; bytes stand as they are, all else as JSON."""
    head = _header(issuer) if header is ... else header
    body = _claims(issuer) if payload is ... else payload
    return _with_signature(issuer, f"{_part(head)}.{_part(body)}", key)


def _with_signature(issuer: Issuer, text: str, key: Ed25519PrivateKey | None = None) -> str:
    return f"{text}.{_encode((key or issuer.key).sign(text.encode()))}"


def _hmac(issuer: Issuer, algorithm: str, secret: bytes) -> str:
    digest = "sha512" if algorithm == "HS512" else "sha256"
    text = f"{_part(_header(issuer) | {'alg': algorithm})}.{_part(_claims(issuer))}"
    return f"{text}.{_encode(hmac.digest(secret, text.encode(), digest))}"


def _payload(token: str) -> str:
    return token.split(".")[1]


def _part(content: Any) -> str:
    return _encode(content if isinstance(content, bytes) else _json(content))


def _json(content: Any) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _without(parts: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in parts.items() if key != name}
