"""The issuer for development: its key pair, and its tokens."""

import errno
import os
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import jwt
import pytest

from tests.support import forks
from tests.unit.identity import TRUST, verifier
from twc_customer_server.app import authenticator
from twc_customer_server.auth import development, jwks
from twc_customer_server.auth.authenticator import TokenVerifier
from twc_customer_server.auth.development import DevelopmentIssuer
from twc_customer_server.errors import TenantForbidden, Unauthenticated
from twc_customer_server.settings.model import Settings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a key pair."""
    folder = tmp_path_factory.mktemp("data") / "development"
    DevelopmentIssuer(folder)
    return folder


@pytest.fixture(scope="module")
def other_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with another key pair."""
    folder = tmp_path_factory.mktemp("other") / "development"
    DevelopmentIssuer(folder)
    return folder


def token(folder: Path, tenant: str = "acme") -> str:
    """A token that is made with the key pair in a folder."""
    return DevelopmentIssuer(folder).token(tenant, TRUST.audience, TRUST.tenant_claim)


def believing(folder: Path) -> TokenVerifier:
    """A verifier of the tokens of a folder."""
    read = partial(jwks.fetch, str(DevelopmentIssuer(folder).jwks))
    return verifier(read, TRUST._replace(issuer=development.ISSUER))


def test_permissions_of_key_file(folder: Path) -> None:
    """Nobody but its owner can read or change the private key, and no draft of it stays."""
    assert {path.name for path in folder.iterdir()} == {"key.pem", "jwks.json"}
    assert stat.S_IMODE((folder / "key.pem").stat().st_mode) == 0o600


def test_published_key(folder: Path) -> None:
    """What is published of the key pair is one public key of 2,048 bits, for RS256."""
    [key] = jwks.fetch(str(folder / "jwks.json")).values()
    assert (key.key_id, key.algorithm_name, key.public_key_use) == ("development", "RS256", "sig")
    assert key.key.key_size == 2048
    assert not hasattr(key.key, "private_numbers")


def test_existing_key_pair(folder: Path) -> None:
    """The key pair that is there is used and not made anew."""
    files = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    before = token(folder)
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()} == (
        files
    )
    assert believing(folder).verify(before).tenants == {"acme"}


@pytest.mark.parametrize("tenant", ["acme", "...", "a" * 64])
def test_token(folder: Path, tenant: str) -> None:
    """A token is believed by who trusts its folder, for the tenant it was made for."""
    assert believing(folder).verify(token(folder, tenant)).tenants == {tenant}


def test_scope_of_token(folder: Path) -> None:
    """A token has more claims if they are given, such as a scope, but for those of its own."""
    more = {"scope": "customers:erase", "iss": "other"}
    issuer = DevelopmentIssuer(folder)
    made = issuer.token("acme", TRUST.audience, TRUST.tenant_claim, more)
    assert believing(folder).verify(made).scopes == {"customers:erase"}
    assert believing(folder).verify(token(folder)).scopes == frozenset()


def test_lifetime_of_token(folder: Path) -> None:
    """A token is good from now on for twelve hours, and says nothing more than it must."""
    before = int(time.time())
    claims = jwt.decode(token(folder), options={"verify_signature": False})
    assert before <= claims["iat"] <= time.time()
    assert claims == {
        "iss": "urn:twc:development",
        "aud": "customer-api",
        "sub": "developer",
        "tenant": "acme",
        "iat": claims["iat"],
        "exp": claims["iat"] + 12 * 60 * 60,
    }


def test_token_of_another_folder(folder: Path, other_folder: Path) -> None:
    """A token is not believed by who trusts another folder."""
    with pytest.raises(Unauthenticated, match="cannot be verified"):
        believing(folder).verify(token(other_folder))


def test_half_made_pair(tmp_path: Path) -> None:
    """A pair whose making was broken off is made anew, and its halves fit."""
    tmp_path.joinpath("jwks.json").write_text("{}")
    tmp_path.joinpath("key.draft").write_text("half")
    assert believing(tmp_path).verify(token(tmp_path)).tenants == {"acme"}
    assert {path.name for path in tmp_path.iterdir()} == {"key.pem", "jwks.json"}


@pytest.mark.parametrize(
    ("file", "content"),
    [("jwks.json", ""), ("jwks.json", "{}"), ("jwks.json", None), ("key.pem", "")],
)
def test_lost_file(tmp_path: Path, file: str, content: str | None) -> None:
    """A pair that lost the content of a file, as a loss of power may have it, is mended."""
    DevelopmentIssuer(tmp_path)
    (tmp_path / file).unlink()
    if content is not None:
        (tmp_path / file).write_text(content)
    assert believing(tmp_path).verify(token(tmp_path)).tenants == {"acme"}


def test_key_on_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be written is named, and no part of it is taken for a key later."""

    def no_room(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", no_room)
        with pytest.raises(OSError, match=f"No space left on device: '{tmp_path}/"):
            DevelopmentIssuer(tmp_path)
    assert believing(tmp_path).verify(token(tmp_path)).tenants == {"acme"}


def test_command_without_key(tmp_path: Path) -> None:
    """The command says in a line why it makes no token, and fails."""
    (tmp_path / "development").touch()
    settings = Settings(data_dir=tmp_path, development=True)
    command = ["-m", "twc_customer_server", "token", "acme"]
    ended = forks.run(command, os.environ | settings.environment())
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
    assert f"{tmp_path}/development" in ended.stderr


def test_key_pair_made_at_once(tmp_path: Path) -> None:
    """Of several that find no key pair at the same time, all use the one that is made."""
    folder = tmp_path / "development"
    ready = threading.Barrier(8)

    def start(_: int) -> str:
        ready.wait(20)
        return token(folder)

    with ThreadPoolExecutor(8) as threads:
        tokens = list(threads.map(start, range(8)))
    believer = believing(folder)
    assert [believer.verify(each).tenants for each in tokens] == [{"acme"}] * 8


def test_open_draft(tmp_path: Path) -> None:
    """A draft that all could read, left by whoever, does not make a private key that all can."""
    draft = tmp_path / "key.draft"
    draft.touch()
    draft.chmod(0o644)
    DevelopmentIssuer(tmp_path)
    assert stat.S_IMODE((tmp_path / "key.pem").stat().st_mode) == 0o600


def test_unusable_folder(tmp_path: Path) -> None:
    """Where a file stands in the way there is no issuer."""
    (tmp_path / "data").touch()
    with pytest.raises(OSError, match="data"):
        DevelopmentIssuer(tmp_path / "data" / "development")


def test_callers(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A server in development admits the tokens of its own folder, and warns of that."""
    settings = Settings(data_dir=folder.parent, development=True)
    callers = authenticator(settings)
    assert [(it.levelname, it.getMessage()) for it in caplog.records] == [
        ("WARNING", f"DEVELOPMENT MODE: anyone who can read {folder} can be any tenant")
    ]
    own = ("authorization", f"Bearer {token(folder)}")
    assert callers.authenticate([own, ("x-twc-tenant", "acme")]).tenant == "acme"
    with pytest.raises(TenantForbidden):
        callers.authenticate([own, ("x-twc-tenant", "other")])


def test_callers_of_another_folder(folder: Path, other_folder: Path) -> None:
    """A server in development admits no tokens of another's folder."""
    callers = authenticator(Settings(data_dir=folder.parent, development=True))
    foreign = ("authorization", f"Bearer {token(other_folder)}")
    with pytest.raises(Unauthenticated):
        callers.authenticate([foreign, ("x-twc-tenant", "acme")])
