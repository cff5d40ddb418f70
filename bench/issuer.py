"""Issues bearer tokens, and publishes the keys that servers verify them with."""

import json
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

_ISSUER = "https://issuer.example"
_AUDIENCE = "customer-api"
_KEY_ID = "key-1"
_ALGORITHM = "EdDSA"
# Longer than a benchmark takes.
_LIFETIME_SECONDS = 24 * 60 * 60


class Issuer:
    """An issuer with a new key pair, whose JWKS document is in a folder."""

    def __init__(self, folder: Path) -> None:
        self._key = Ed25519PrivateKey.generate()
        public = OKPAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        entry = public | {"kid": _KEY_ID, "use": "sig", "alg": _ALGORITHM}
        jwks = folder / "jwks.json"
        jwks.write_text(json.dumps({"keys": [entry]}))
        # Settings of a server that trusts the issuer.
        self.settings: dict[str, Any] = {
            "issuer": _ISSUER,
            "jwks": str(jwks),
            "audience": _AUDIENCE,
        }

    def token(self, tenant: str) -> str:
        """Returns a token for a tenant, valid for a day."""
        now = int(time.time())
        claims = {"iss": _ISSUER, "aud": _AUDIENCE, "sub": "bench", "tenant": tenant}
        times = {"iat": now, "exp": now + _LIFETIME_SECONDS}
        return jwt.encode(claims | times, self._key, _ALGORITHM, headers={"kid": _KEY_ID})
