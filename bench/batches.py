"""Requests in batches, which are made once and sent to every contender."""

import random
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.contender import Transport
from bench.documents import NEW, PAGE
from bench.ground import Ground
from bench.load.requests import Request
from bench.scenarios import Call, Scenario


class Batches:
    """Batches of requests by name: the same name, the same requests.

    Those that create customers create others in every batch.
    """

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._made: dict[tuple[str, str, str, int], list[Request]] = {}
        self._begins: dict[tuple[str, str], int] = {}
        self._next = NEW

    def batch(
        self, scenario: Scenario, transport: Transport, name: str, count: int
    ) -> list[Request]:
        """So many requests of a scenario."""
        key = (scenario.key, transport, name, count)
        if key not in self._made:
            self._made[key] = [
                call.grpc() if transport == "gRPC" else call.http(self._ground.caller)
                for call in self._calls(scenario, name, count)
            ]
        return self._made[key]

    def numbers(self, scenario: Scenario, name: str, count: int) -> Sequence[int]:
        """The numbers of the customers that a batch is about."""
        if scenario.key == "create":
            if (name, scenario.key) not in self._begins:
                self._begins[name, scenario.key] = self._next
                self._next += count
            begin = self._begins[name, scenario.key]
            return range(begin, begin + count)
        rng = random.Random(name)
        return rng.choices(range(PAGE, self._ground.plan.customers), k=count)

    def forget(self) -> None:
        """Makes room: the requests of a round are not sent again in the next one."""
        self._made.clear()

    def uris(self, scenario: Scenario, name: str) -> Path:
        """A file of the URIs of a scenario, one for each customer in any order, for h2load."""
        path = self._ground.folder / "uris"
        calls = self._calls(scenario, name, self._ground.plan.customers)
        path.write_text("".join(f"http://127.0.0.1{call.path}\n" for call in calls))
        return path

    def body(self, scenario: Scenario, name: str) -> Path:
        """A file of one body as gRPC frames it, for h2load."""
        path = self._ground.folder / "body"
        [call] = self._calls(scenario, name, 1)
        message = call.grpc().sent
        path.write_bytes(b"\0" + struct.pack(">I", len(message)) + message)
        return path

    def _calls(self, scenario: Scenario, name: str, count: int) -> Iterator[Call]:
        for place, number in enumerate(self.numbers(scenario, name, count)):
            yield scenario.call(self._ground.documents, number, f"{name}-{place}")
