"""An issuer that the tests make tokens of, and the settings that make a server believe it."""

import atexit
import functools
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

from twc_customer_server.contract import ERASE_SCOPE

ISSUER = "https://issuer.example"
AUDIENCE = "customer-api"


class Issuer:
    """An issuer with a key of its own."""

    algorithm = "EdDSA"

    def __init__(self, name: str = ISSUER, key_id: str = "key-1") -> None:
        self.name = name
        self.key_id = key_id
        self.key = Ed25519PrivateKey.generate()

    def claims(self, **changed: Any) -> dict[str, Any]:
        """The claims of a token that is good for an hour, but for those given; None leaves out."""
        now = int(time.time())
        claims = {"iss": self.name, "aud": AUDIENCE, "sub": "test", "iat": now, "exp": now + 3600}
        return {name: value for name, value in (claims | changed).items() if value is not None}

    def token(self, **changed: Any) -> str:
        """A signed token with those claims."""
        headers = {"kid": self.key_id}
        return jwt.encode(self.claims(**changed), self.key, self.algorithm, headers=headers)

    def jwk(self) -> dict[str, Any]:
        """The public key as an issuer publishes it."""
        public = OKPAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return public | {"kid": self.key_id, "use": "sig", "alg": self.algorithm}


def jwks(*issuers: Issuer) -> bytes:
    """A JWKS document of issuers' keys."""
    return json.dumps({"keys": [issuer.jwk() for issuer in issuers]}).encode()


@functools.cache
def token_for(tenant: str) -> str:
    """A token of the issuer that `trust` makes a server believe, good for all of one tenant."""
    return trusted_issuer().token(tenant=tenant, scope=ERASE_SCOPE)


@functools.cache
def trust() -> dict[str, Any]:
    """Settings that make a server believe the tokens of `token_for`."""
    folder = Path(tempfile.mkdtemp(prefix="twc-issuer-"))
    atexit.register(shutil.rmtree, folder)
    folder.joinpath("jwks.json").write_bytes(jwks(trusted_issuer()))
    return {"issuer": ISSUER, "jwks": str(folder / "jwks.json"), "reflection": True}


@functools.cache
def trusted_issuer() -> Issuer:
    """The issuer that `trust` makes a server believe."""
    return Issuer()
