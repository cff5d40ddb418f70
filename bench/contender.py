"""What is measured: an implementation of the API."""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from pathlib import Path

from bench.processes import RunningServers
from bench.scenarios import Transport
from bench.testbed import Testbed


class Contender(ABC):
    """An implementation of the API, which is started anew in every round."""

    # True if every response has the same customer, and status 200.
    is_baseline = False
    # True if its database is PostgreSQL, a process with CPU time of its own.
    needs_postgres = False

    def __init__(self, name: str, transport: Transport) -> None:
        self.name = name
        self.transport: Transport = transport

    @property
    def scenarios(self) -> tuple[str, ...]:
        """The keys of the scenarios that it is measured in."""
        pages = ("page",) if self.transport == "gRPC" else ()
        return ("get", "lookup", "create", "update", *pages)

    @property
    def slug(self) -> str:
        """The name as that of a folder."""
        return "-".join("".join(c if c.isalnum() else " " for c in self.name).split())

    def skip_reason(self) -> str:
        """Returns why it cannot be measured on this machine, or "" if it can."""
        return ""

    @abstractmethod
    def prepare(self, testbed: Testbed, folder: Path) -> None:
        """Creates its database, in a folder of its own, with the customers."""

    @abstractmethod
    def serve(self, testbed: Testbed, folder: Path) -> AbstractContextManager[RunningServers]:
        """Serves from that database for a `with` block."""
