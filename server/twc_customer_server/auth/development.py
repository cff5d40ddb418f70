"""Issues tokens for development, signed by a key pair that is stored beside the data."""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
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
        if not self._is_made():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with folder_lock.locked(folder):
                # Another process may have created it meanwhile.
                if not self._is_made():
                    self._make()

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

    def _is_made(self) -> bool:
        """Tells whether there is a key, and what is published is its public half."""
        try:
            pem = self._key_file.read_bytes()
            return bool(pem) and self.jwks.read_bytes() == self._published(pem)
        except FileNotFoundError:
            return False

    def _make(self) -> None:
        """Publishes the public half of the key, which is made if there is none."""
        pem = self._key_file.read_bytes() if self._key_file.exists() else b""
        if not pem:
            key = rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
            pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            _write(self._key_file, pem)
        _write(self.jwks, self._published(pem))

    def _published(self, pem: bytes) -> bytes:
        try:
            key = load_pem_private_key(pem, None, unsafe_skip_rsa_key_validation=True)
        except (ValueError, TypeError) as error:
            raise OSError(f"{self._key_file} is no key: delete it, and one is made") from error
        public = RSAAlgorithm.to_jwk(cast("rsa.RSAPrivateKey", key).public_key(), as_dict=True)
        entry = public | {"kid": KEY_ID, "use": "sig", "alg": ALGORITHM}
        return json.dumps({"keys": [entry]}).encode()


def _write(file: Path, data: bytes) -> None:
    """Writes a file that only its owner may read, whole or not at all, also if power is lost.

    Raises OSError with the name of the file.
    """
    draft = file.with_suffix(".draft")
    try:
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
            opened.write(data)
            opened.flush()
            os.fsync(opened.fileno())
        draft.rename(file)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(file)) from error


def token_for(settings: Settings, tenant: str) -> str:
    """Returns a token for a tenant that the service with some settings accepts for all calls.

    Raises OSError if the key can be neither read nor created.
    """
    issuer = DevelopmentIssuer(settings.development_folder)
    scope = claim_with(settings.erase_scope, settings.scope_claim)
    return issuer.token(tenant, settings.audience, settings.tenant_claim, scope)
