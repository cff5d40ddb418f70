"""Issues tokens for development, signed by a key pair that is stored beside the data."""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from jwt.algorithms import RSAAlgorithm

from twc_customer_server.auth.scopes import claim_with
from twc_customer_server.concurrency import folder_lock
from twc_customer_server.settings.model import Settings

ISSUER = "urn:twc:development"
ALGORITHM = "RS256"
KEY_ID = "development"
TOKEN_SECONDS = 12 * 60 * 60
_KEY_BITS = 2048


class DevelopmentIssuer:
    """Issues tokens for any tenant with the key pair in a folder, created on first use."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError if the folder can be neither read nor created."""
        self.jwks = folder / "jwks.json"
        self._key_file = folder / "key.pem"
        if not self._key_file.exists():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with folder_lock.locked(folder):
                # Another process may have created it meanwhile.
                if not self._key_file.exists():
                    self._create_key()

    def token(
        self,
        tenant: str,
        audience: str,
        tenant_claim: str,
        more: Mapping[str, object] | None = None,
    ) -> str:
        """Returns a token for a tenant with more claims, valid for twelve hours."""
        now = int(time.time())
        own = {"iss": ISSUER, "aud": audience, "sub": "developer", tenant_claim: tenant}
        claims = dict(more or {}) | own
        times = {"iat": now, "exp": now + TOKEN_SECONDS}
        key = self._key_file.read_bytes()
        return jwt.encode(claims | times, key, ALGORITHM, headers={"kid": KEY_ID})

    def _create_key(self) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
        public = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        entry = public | {"kid": KEY_ID, "use": "sig", "alg": ALGORITHM}
        self.jwks.write_text(json.dumps({"keys": [entry]}))
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        # Only its owner may read it, and the rename never exposes half a file.
        draft = self._key_file.with_suffix(".draft")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
        draft.rename(self._key_file)


def token_for(settings: Settings, tenant: str) -> str:
    """Returns a token for a tenant that the service with some settings accepts for all calls.

    Raises OSError if the key can be neither read nor created.
    """
    issuer = DevelopmentIssuer(settings.development_folder)
    scope = claim_with(settings.erase_scope, settings.scope_claim)
    return issuer.token(tenant, settings.audience, settings.tenant_claim, scope)
