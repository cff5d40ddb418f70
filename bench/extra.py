"""What is measured of the service alone, beside the scenarios that all contenders share."""

from abc import ABC, abstractmethod
from pathlib import Path

from bench.ground import Ground
from bench.progress import Tell
from bench.results import Alone

Measured = dict[Alone, float]


class Extra(ABC):
    """A measurement that starts what it needs."""

    name: str
    # Whether it takes so long that a quick benchmark goes without it, and a full one has it once.
    is_long = False
    # Whether a PostgreSQL has to run.
    has_database_process = False

    def missing(self, ground: Ground) -> str:
        """Says what it needs that is not there; nothing if it can be measured."""
        return ""

    @abstractmethod
    def measure(self, ground: Ground, folder: Path, tell: Tell) -> Measured:
        """Measures in an empty folder, and tells how far it is. Raises BenchError."""
