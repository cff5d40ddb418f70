"""What a server takes anew from its files, and what it refuses."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.certificates import Authority, Pair
from tests.unit.test_limits import Clock
from tests.unit.test_settings import KNOWN
from twc_customer_server.concurrency import file_watch
from twc_customer_server.concurrency.file_watch import RETRY_SECONDS
from twc_customer_server.renewal import Renewal
from twc_customer_server.settings.model import Settings


class Renewed:
    """A server's renewal, with notes of what it has read anew."""

    def __init__(self, clock: Clock, **settings: Any) -> None:
        self._clock = clock
        self.done: list[str] = []
        self.error: OSError | None = None
        self._renewal = Renewal(
            Settings(**KNOWN | settings), self._renew_certificates, lambda: self.done.append("keys")
        )

    def look(self) -> None:
        """Looks at the files as often as a change needs."""
        for _ in range(2):
            self._renewal.renew_changed()

    def look_later(self) -> None:
        """Looks when what failed is tried again."""
        self._clock.now += RETRY_SECONDS
        self._renewal.renew_changed()

    def _renew_certificates(self) -> None:
        if self.error:
            raise self.error
        self.done.append("certificates")


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """A certificate and its key."""
    return Authority(tmp_path, "authority").issue("server")


@pytest.fixture
def renewed(pair: Pair, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Renewed:
    """The renewal of a server with TLS, keys in a file, and settings in one."""
    clock = Clock()
    monkeypatch.setattr(file_watch, "time", SimpleNamespace(monotonic=clock))
    for name, value in KNOWN.items():
        monkeypatch.setenv(name.upper(), value)
    monkeypatch.setenv("TWC_SETTINGS_FILE", str(tmp_path / "own.toml"))
    (tmp_path / "own.toml").write_text("threads = 4\n")
    (tmp_path / "jwks.json").write_text("{}")
    return Renewed(
        clock,
        tls_certificate=pair.certificate,
        tls_key=pair.key,
        jwks=str(tmp_path / "jwks.json"),
        threads=4,
    )


@pytest.fixture(autouse=True)
def _level() -> Any:
    """The log level of other tests stays."""
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)


def test_nothing_changed(renewed: Renewed) -> None:
    """Without a change nothing is read."""
    renewed.look()
    assert renewed.done == []


def test_certificate(renewed: Renewed, tmp_path: Path) -> None:
    """A new certificate with its key is taken."""
    Authority(tmp_path, "other").issue("server")
    renewed.look()
    assert renewed.done == ["certificates"]


def test_certificate_without_its_key(
    renewed: Renewed, pair: Pair, tmp_path: Path, caplog: Any
) -> None:
    """A certificate whose key is another one is refused with a line."""
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other", "other").issue("server")
    pair.certificate.write_bytes(other.certificate.read_bytes())
    renewed.look()
    assert renewed.done == []
    [line] = caplog.messages
    assert line.startswith("TLS_KEY: must be the key of the certificate")
    assert line.endswith("; what was read before is used on")


def test_certificate_that_is_gone(renewed: Renewed, pair: Pair, caplog: Any) -> None:
    """Files that are gone when they are read are told with a line."""
    renewed.error = FileNotFoundError(2, "No such file", "tls.pem")
    pair.key.write_bytes(pair.key.read_bytes() + b"\n")
    renewed.look()
    assert caplog.messages == [
        "tls.pem cannot be read: No such file; what was read before is used on"
    ]


def test_certificate_that_failed_once(renewed: Renewed, pair: Pair, caplog: Any) -> None:
    """What could not be read is tried again until it can; what is wrong is said once."""
    renewed.error = OSError(24, "Too many open files", "tls.pem")
    pair.key.write_bytes(pair.key.read_bytes() + b"\n")
    renewed.look()
    renewed.look_later()
    assert (renewed.done, len(caplog.messages)) == ([], 1)
    renewed.error = FileNotFoundError(2, "No such file", "tls.pem")
    renewed.look_later()
    assert len(caplog.messages) == 2
    renewed.error = None
    renewed.look_later()
    assert renewed.done == ["certificates"]
    renewed.look_later()
    assert renewed.done == ["certificates"]


def test_certificate_that_is_wrong_twice(renewed: Renewed, pair: Pair, caplog: Any) -> None:
    """Another wrong file is said although the one before was wrong in the same way."""
    for content in (b"1", b"22"):
        pair.key.write_bytes(content)
        renewed.look()
    assert len(caplog.messages) == 2
    assert len({*caplog.messages}) == 1


def test_keys(renewed: Renewed, tmp_path: Path) -> None:
    """A file of keys that has changed is read."""
    (tmp_path / "jwks.json").write_text('{"keys": []}')
    renewed.look()
    assert renewed.done == ["keys"]


SETTINGS = {
    "log level": ('threads = 4\nlog_level = "ERROR"', "LOG_LEVEL is ERROR from now on"),
    "another": (
        "threads = 5",
        "THREADS, TLS_CERTIFICATE, TLS_KEY as it is in the file with its next",
    ),
    "wrong": ("threads = many", "own.toml: must be TOML"),
}


@pytest.mark.parametrize(("written", "line"), SETTINGS.values(), ids=SETTINGS)
def test_settings(renewed: Renewed, tmp_path: Path, caplog: Any, written: str, line: str) -> None:
    """The log level follows the file; what cannot change is said, and a wrong file refused."""
    before = logging.getLogger().level
    (tmp_path / "own.toml").write_text(written)
    renewed.look()
    assert any(line in said for said in caplog.messages), caplog.messages
    assert (logging.getLogger().level == logging.ERROR) == ("ERROR" in written)
    assert "ERROR" in written or logging.getLogger().level == before
