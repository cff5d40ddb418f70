"""Files that change are noticed once, and when they change no more."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.unit.test_limits import Clock
from twc_customer_server.concurrency import file_watch
from twc_customer_server.concurrency.file_watch import RETRY_SECONDS, FileWatch


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that a test sets."""
    clock = Clock()
    monkeypatch.setattr(file_watch, "time", SimpleNamespace(monotonic=clock))
    return clock


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two files that are there."""
    files = [tmp_path / "a", tmp_path / "b"]
    for file in files:
        file.write_text("1")
    return files


def _replace(file: Path) -> None:
    new = file.with_suffix(".new")
    new.write_text("2")
    new.replace(file)


CHANGES = {
    "written": lambda file: file.write_text("longer"),
    "replaced": _replace,
    "removed": Path.unlink,
    "touched": lambda file: os.utime(file, ns=(1, 1)),
    # Contents, time and number stay as they were.
    "made readable": lambda file: file.chmod(0o640),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_change(files: list[Path], change: object) -> None:
    """Whatever changes a file is told once, at the second look that sees it."""
    watch = FileWatch(files)
    assert [watch.has_changed() for _ in range(3)] == [False] * 3
    change(files[1])  # type: ignore[operator]
    assert [watch.has_changed() for _ in range(4)] == [False, True, False, False]


def test_changes_one_after_the_other(files: list[Path]) -> None:
    """Of several files nothing is told until all of them stay as they are."""
    watch = FileWatch(files)
    seen = []
    for file in files:
        _replace(file)
        seen.append(watch.has_changed())
    assert seen == [False, False]
    assert watch.has_changed()


def test_link_to_another_folder(tmp_path: Path) -> None:
    """A link that leads elsewhere changes the file behind it, as for secrets of Kubernetes."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tls.crt").write_text(name)
    link = tmp_path / "data"
    link.symlink_to("one")
    watch = FileWatch([link / "tls.crt"])
    link.unlink()
    link.symlink_to("two")
    assert [watch.has_changed() for _ in range(2)] == [False, True]


def test_missing_file(tmp_path: Path) -> None:
    """A file that comes later is a change, and one that never comes is none."""
    watch = FileWatch([tmp_path / "none"])
    assert [watch.has_changed() for _ in range(2)] == [False, False]
    (tmp_path / "none").write_text("")
    assert [watch.has_changed() for _ in range(2)] == [False, True]


def test_change_that_was_not_used(files: list[Path], clock: Clock) -> None:
    """A change is told again after a time, until somebody notes that it was used."""
    watch = FileWatch(files)
    files[0].write_text("longer")
    assert [watch.has_changed() for _ in range(3)] == [False, True, False]
    assert not watch.is_told_again
    clock.now += RETRY_SECONDS
    assert [watch.has_changed() for _ in range(2)] == [True, False]
    assert watch.is_told_again
    watch.note_used()
    clock.now += RETRY_SECONDS
    assert not watch.has_changed()


@pytest.mark.usefixtures("clock")
def test_change_while_another_is_used(files: list[Path]) -> None:
    """A change that comes while the one before is used is told at once, as another."""
    watch = FileWatch(files)
    files[0].write_text("longer")
    assert [watch.has_changed() for _ in range(2)] == [False, True]
    files[0].write_text("longer still")
    watch.note_used()
    assert [watch.has_changed() for _ in range(2)] == [False, True]
    assert not watch.is_told_again
