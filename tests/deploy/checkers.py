"""Programs that check what `deploy/` has."""

import subprocess
from pathlib import Path

from tests.support.client import SECONDS
from tests.support.programs import program, skip_or_fail

ROOT = Path(__file__).parents[2]

_INSTALLED = ROOT / "build" / "checkers" / "bin"
_PACKAGES = {"promtool": "prometheus", "systemd-analyze": "systemd"}


def checker(name: str) -> str:
    """Returns the path of a program; without it, skips the test, or fails it in CI."""
    if name in _PACKAGES:
        return program(name, _PACKAGES[name])
    if not (_INSTALLED / name).exists():
        skip_or_fail(f"{name} is not installed: `make checkers`")
    return str(_INSTALLED / name)


def check(name: str, *arguments: str | Path) -> str:
    """Runs a program that must accept what it is given; returns what it prints."""
    done = subprocess.run(
        [checker(name), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
