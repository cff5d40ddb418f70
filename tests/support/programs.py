"""Programs that tests need and a machine may lack, unless it is that of CI."""

import os
import shutil
from typing import NoReturn

import pytest


def program(name: str, package: str) -> str:
    """Returns the path of a program; without it, skips the test, or fails it in CI."""
    path = shutil.which(name)
    if path is None:
        skip_or_fail(f"{name}, of Debian's package {package}, is not installed")
    return path


def skip_or_fail(missing: str) -> NoReturn:
    """Skips a test for what is missing; fails it in CI, where nothing may be missing."""
    if os.environ.get("CI"):
        pytest.fail(f"in CI everything is tested: {missing}")
    pytest.skip(missing, allow_module_level=True)
