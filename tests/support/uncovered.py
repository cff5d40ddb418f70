"""A fixture of suites that start many processes, which others cover."""

from collections.abc import Iterator

import pytest

# The variables that have Python measure it.
COVERAGE = ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")


@pytest.fixture(scope="package", autouse=True)
def without_coverage() -> Iterator[None]:
    """Starts the many processes of a suite without coverage, in two thirds of the time.

    Other suites cover what a worker runs.
    """
    with pytest.MonkeyPatch.context() as environment:
        for name in COVERAGE:
            environment.delenv(name, raising=False)
        yield
