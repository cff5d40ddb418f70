"""What every test may ask for."""

import itertools

import pytest

_numbers = itertools.count(1)


@pytest.fixture
def tenant() -> str:
    """A tenant that no other test uses, so that tests share a server or a database."""
    return f"tenant-{next(_numbers)}"
