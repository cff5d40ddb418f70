"""Fixtures of the attacks."""

from collections.abc import Iterator

import pytest

from tests.security.target import Targets
from tests.support.uncovered import without_coverage

__all__ = ["without_coverage"]


@pytest.fixture(scope="package")
def targets() -> Iterator[Targets]:
    """The services that are attacked, one in each scene."""
    with Targets() as targets:
        yield targets
