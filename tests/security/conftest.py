"""Fixtures of the attacks."""

from collections.abc import Iterator

import pytest

from tests.gateway.conftest import _without_coverage
from tests.security.target import Targets

__all__ = ["_without_coverage"]


@pytest.fixture(scope="package")
def targets() -> Iterator[Targets]:
    """The services that are attacked, one in each scene."""
    with Targets() as targets:
        yield targets
