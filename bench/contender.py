"""What the benchmark asks of everything that it measures."""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal

from bench.ground import Ground
from bench.serving import Serving

Transport = Literal["REST", "gRPC"]


class Contender(ABC):
    """A way to serve customers, which is started anew for every round."""

    # What it does, by the names of scenarios.
    scenarios: tuple[str, ...] = ("get", "lookup", "create", "update")
    # Whether it answers as it should, and not always with the same customer and status 200.
    is_real = True
    # Whether its database is a process of its own.
    has_database_process = False

    def __init__(self, name: str, transport: Transport) -> None:
        self.name = name
        self.transport: Transport = transport

    @property
    def slug(self) -> str:
        """Its name as that of a folder."""
        return "-".join("".join(c if c.isalnum() else " " for c in self.name).split())

    def missing(self) -> str:
        """Says what it needs that is not there; nothing if it can be measured."""
        return ""

    @abstractmethod
    def prepare(self, ground: Ground, folder: Path) -> None:
        """Fills its database, in a folder of its own, with the customers."""

    @abstractmethod
    def serving(self, ground: Ground, folder: Path) -> AbstractContextManager[Serving]:
        """Serves from that database for a `with` block."""
