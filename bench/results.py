"""What was measured."""

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from bench.figures import Figures

_NONE = Figures(*[math.nan] * len(Figures._fields))


class Alone(StrEnum):
    """What is measured of the service alone."""

    UPLOADED = "Upload over REST, customers/s"
    IMPORTED = "Import, customers/s"
    IMPORT_MEMORY = "Import, peak memory of the server in MiB"
    GROUPED = "Creations/s of one server with group commit"
    SINGLE = "Creations/s of one server with a commit each"
    GET_SQLITE = "GET by id, CPU in µs of one server on SQLite"
    GET_POSTGRES = "GET by id, CPU in µs of one server on PostgreSQL, which has the other cores"
    GET_FEW = "GET by id, CPU in µs at ten thousand customers"
    GET_MANY = "GET by id, CPU in µs at a million customers"
    LOOKUP_FEW = "Lookup by e-mail, CPU in µs at ten thousand customers"
    LOOKUP_MANY = "Lookup by e-mail, CPU in µs at a million customers"


class Results(NamedTuple):
    """Medians over the rounds."""

    # By the names of contenders and the keys of scenarios.
    figures: Mapping[tuple[str, str], Figures]
    alone: Mapping[Alone, float]
    # What was not measured, and why.
    missing: Mapping[str, str]
    # How far apart the rounds were in the CPU of each contender and scenario.
    spreads: Sequence[float]
    # The part of all cores that something else took before a round, at the most.
    busy: float

    def of(self, contender: str, scenario: str) -> Figures:
        """The figures of a contender in a scenario; nan if it was not measured."""
        return self.figures.get((contender, scenario), _NONE)

    def of_service(self, measured: Alone) -> float:
        """A figure of the service alone; nan if it was not measured."""
        return self.alone.get(measured, math.nan)
