"""What a renewal writes, and that one which fails leaves all as it was."""

import errno
import json
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.certificates import Authority, Pair
from twc_customer_gateway import configuring, renewing
from twc_customer_gateway.supervisor.renewal import FAILED_STATUS, WRONG_STATUS
from twc_customer_server.telemetry import logs

_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_VALUES: st.SearchStrategy[Any] = st.one_of(
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=False, allow_infinity=False),
    _TEXTS,
    st.lists(_TEXTS, max_size=3),
    st.dictionaries(_TEXTS, _TEXTS, max_size=3),
)


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,10}", fullmatch=True), _VALUES, max_size=5))
def test_literals(values: dict[str, Any]) -> None:
    """Every value of a file can be written so that it is read as it was."""
    lines = (f"{name} = {renewing._literal(value)}\n" for name, value in values.items())  # noqa: SLF001
    assert tomllib.loads("".join(lines)) == values


def test_copy(tmp_path: Path) -> None:
    """What changes takes its place, what is left out goes, and all else stays."""
    file = tmp_path / "settings.toml"
    running = {"threads": 4, "log_level": "INFO", "default_regions": {"*": "CH"}}
    changed = {"log_level": None, "cors_origins": ["https://a.example"]}
    renewing._write(file, running, changed)  # noqa: SLF001
    assert tomllib.loads(file.read_text()) == {
        "threads": 4,
        "default_regions": {"*": "CH"},
        "cors_origins": ["https://a.example"],
    }


class Started:
    """What a start has written, with a certificate."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(logs, "configure", lambda _: None)
        self._authority = Authority(folder, "authority")
        self._pair: Pair = self._authority.issue("server")
        self.folder = folder / "started"
        self.folder.mkdir()
        given = {
            "development": "true",
            "data_dir": str(folder / "data"),
            "tls_certificate": str(self._pair.certificate),
            "tls_key": str(self._pair.key),
        }
        for name, value in given.items():
            monkeypatch.setenv(f"TWC_{name.upper()}", value)
        monkeypatch.setenv("TWC_SETTINGS_FILE", os.devnull)
        configuring.write_for_start(self.folder)

    def issue(self) -> None:
        """Replaces the certificate."""
        self._authority.issue("server")

    def break_key(self) -> None:
        """Leaves a key that is none."""
        self._pair.key.write_text("key")

    def is_taken(self) -> bool:
        """Tells whether Envoy has the certificate as it is now."""
        return (
            json.dumps(self._pair.certificate.read_text())
            in (self.folder / "certificate.json").read_text()
        )


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Started:
    """What a start has written."""
    return Started(tmp_path, monkeypatch)


def test_full_disk(started: Started, caplog: pytest.LogCaptureFixture) -> None:
    """A renewal that a full disk ended, wherever it was, succeeds when there is room."""
    started.issue()
    write, left = Path.write_text, 0
    statuses = [0]

    def write_some(path: Path, content: str, *arguments: Any, **options: Any) -> int:
        nonlocal left
        left -= 1
        if left < 0:
            # As the system does: the file is there, and has a part.
            write(path, content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, content, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "write_text", write_some)
        while not started.is_taken() or statuses[-1]:
            left = len(statuses) - 1
            statuses.append(_status_of_renewal(started, statuses[-1]))
    assert len(statuses) > 4
    assert {*statuses[1:-1]} == {FAILED_STATUS}
    assert sum("No space left on device" in line for line in caplog.messages) == 1


def _status_of_renewal(started: Started, again: int) -> int:
    # As each is a process of its own.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TWC_SETTINGS_FILE", os.devnull)
        try:
            renewing.renew(started.folder, again)
        except SystemExit as ended:
            return int(ended.code or 0)
        return 0


def test_wrong_files(started: Started, caplog: pytest.LogCaptureFixture) -> None:
    """What is wrong with files is said once, and what was read before stays."""
    started.break_key()
    for again, lines in ((0, 1), (WRONG_STATUS, 1), (FAILED_STATUS, 2)):
        assert _status_of_renewal(started, again) == WRONG_STATUS
        assert len(caplog.messages) == lines
    assert started.is_taken()
