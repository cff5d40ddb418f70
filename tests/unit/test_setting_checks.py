"""Files, folders and the issuer that settings name are looked at when a service starts."""

import json
import socket
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.certificates import Authority, Pair
from tests.unit.test_settings import KNOWN
from twc_customer_server.settings.checks import check
from twc_customer_server.settings.model import Settings
from twc_customer_server.settings.sources import InvalidSettingsError

PEM = "-----BEGIN PRIVATE KEY-----"
NO_PEM = "TLS_CERTIFICATE, TLS_KEY: must be PEM files of a certificate chain and of its key"

# Settings, whose texts may name `{folder}`, and how the line begins that refuses them.
REFUSED: dict[str, tuple[dict[str, str], str]] = {
    "no JWKS": ({"jwks": "{folder}/none"}, "JWKS: {folder}/none cannot be read: No such file"),
    "JWKS that is a folder": ({"jwks": "{folder}"}, "JWKS: {folder} cannot be read: Is a dir"),
    "JWKS that is none": (
        {"jwks": "{folder}/text"},
        "JWKS: must be a file of public keys (RFC 7517), which {folder}/text is not: not a JSON",
    ),
    "JWKS of another kind": (
        {"jwks": "{folder}/object.json"},
        "JWKS: must be a file of public keys (RFC 7517), which {folder}/object.json is not: not a",
    ),
    "no certificate": (
        {"tls_certificate": "{folder}/none", "tls_key": "{folder}/a.key"},
        "TLS_CERTIFICATE: {folder}/none cannot be read: No such file",
    ),
    "no key": (
        {"tls_certificate": "{folder}/a.pem", "tls_key": "{folder}/none"},
        "TLS_KEY: {folder}/none cannot be read: No such file",
    ),
    **{
        f"key in place of its path, {form}": (
            {"tls_certificate": "{folder}/a.pem", "tls_key": key},
            "TLS_KEY: must be the path of a file, and not what the file has",
        )
        for form, key in {
            "in lines": f"{PEM}\nsecret\n",
            "in a line": f"{PEM}\\nsecret\\n",
            "in Base64": b64encode(f"{PEM}\nsecret\n".encode()).decode(),
        }.items()
    },
    "key of another certificate": (
        {"tls_certificate": "{folder}/a.pem", "tls_key": "{folder}/b.key"},
        "TLS_KEY: must be the key of the certificate {folder}/a.pem, which {folder}/b.key is not",
    ),
    "key with a password": (
        {"tls_certificate": "{folder}/a.pem", "tls_key": "{folder}/locked.key"},
        NO_PEM,
    ),
    "certificate and key swapped": (
        {"tls_certificate": "{folder}/a.key", "tls_key": "{folder}/a.pem"},
        NO_PEM,
    ),
    "certificate that is none": (
        {"tls_certificate": "{folder}/text", "tls_key": "{folder}/a.key"},
        NO_PEM,
    ),
    "authority that is none": (
        {
            "tls_certificate": "{folder}/a.pem",
            "tls_key": "{folder}/a.key",
            "tls_client_ca": "{folder}/text",
        },
        "TLS_CLIENT_CA: must be a PEM file of certificates, which {folder}/text is not",
    ),
    "folder below a file": (
        {"data_dir": "{folder}/text/data"},
        "DATA_DIR: this user must be able to read and write files in {folder}/text/data: Not a dir",
    ),
    "folder that is a file": (
        {"data_dir": "{folder}/text"},
        "DATA_DIR: this user must be able to read and write files in {folder}/text: File exists",
    ),
    "folder of the system": (
        {"data_dir": "/proc"},
        "DATA_DIR: this user must be able to read and write files in /proc: ",
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of certificates, keys, a JWKS, and files that are none of these."""
    folder = tmp_path_factory.mktemp("files")
    authority = Authority(folder, "ca")
    for name in ("a", "b"):
        authority.issue(name)
    locked = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    (folder / "locked.key").write_bytes(locked)
    (folder / "text").write_text("no PEM, no JSON")
    (folder / "object.json").write_text("{}")
    (folder / "jwks.json").write_text(json.dumps({"keys": []}))
    return folder


def _settings(folder: Path, given: dict[str, str]) -> Settings:
    chosen: dict[str, Any] = KNOWN | {"jwks": "{folder}/jwks.json", "data_dir": "{folder}/data"}
    return Settings(
        **{name: it.replace("{folder}", str(folder)) for name, it in (chosen | given).items()}
    )


@pytest.mark.parametrize(("given", "line"), REFUSED.values(), ids=REFUSED)
def test_unusable(folder: Path, given: dict[str, str], line: str) -> None:
    """What is named and cannot be used is refused in one line with its setting and path."""
    with pytest.raises(InvalidSettingsError) as refused:
        check(_settings(folder, given))
    [said] = str(refused.value).splitlines()
    assert said.startswith(line.replace("{folder}", str(folder)))
    assert "secret" not in said


def test_usable(folder: Path) -> None:
    """Files that fit each other and a folder that can be written to are accepted."""
    pair = Pair(folder / "a.pem", folder / "a.key")
    files = {"tls_certificate": str(pair.certificate), "tls_key": str(pair.key)}
    settings = _settings(folder, files | {"tls_client_ca": "{folder}/ca.pem"})
    assert check(settings) == []
    assert [*settings.data_dir.iterdir()] == []


def test_folder_that_is_not_needed(folder: Path) -> None:
    """With PostgreSQL, nothing is written into DATA_DIR."""
    given = {"data_dir": "{folder}/text", "database_url": "postgresql://db/customers"}
    assert check(_settings(folder, given)) == []


def test_unreachable_issuer(folder: Path) -> None:
    """An issuer whose keys cannot be fetched is named in a warning, with why."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    url = f"http://127.0.0.1:{port}/jwks"
    [line] = check(_settings(folder, {"jwks": url}))
    assert line.startswith(f"JWKS: the issuer's keys cannot be fetched from {url}: Connection refu")


def test_issuers_of_realms(folder: Path) -> None:
    """Issuers of realms are not known at the start, so that none is asked."""
    realms = {"issuer": "http://127.0.0.1:1/{tenant}", "jwks": "http://127.0.0.1:1/{tenant}"}
    assert check(_settings(folder, realms)) == []
