"""What the service answers an attacker with."""

import threading
from collections import Counter
from dataclasses import dataclass, field

# Calls without an answer: the service closed the connection; the call is not complete and
# the service waits; a complete call has had no answer in its time; nobody listens; the
# service has stopped to read.
CUT, OPEN, UNANSWERED, REFUSED, HELD_BACK = "cut", "open", "unanswered", "refused", "held back"


@dataclass
class Answer:
    """An answer as far as it has arrived."""

    status: str = ""
    grpc_status: str = ""
    reset: str = ""
    size: int = 0
    is_over: bool = False

    @property
    def label(self) -> str:
        """The status, as the table has it."""
        if self.grpc_status:
            return f"grpc {self.grpc_status}"
        if self.reset:
            return f"reset {self.reset}"
        return self.status if self.is_over and self.status else OPEN


@dataclass
class Outcomes:
    """What became of an attacker's calls; threads may add to it at the same time."""

    statuses: Counter[str] = field(default_factory=Counter)
    largest: int = 0
    # What the attack itself found to be wrong.
    findings: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, label: str, size: int = 0, *, count: int = 1) -> None:
        """Adds what became of a call: its status, and the answer's size."""
        with self._lock:
            self.statuses[label] += count
            self.largest = max(self.largest, size)

    def find(self, what: str) -> None:
        """Notes something that is wrong, once."""
        with self._lock:
            if what not in self.findings:
                self.findings.append(what)
