"""Starts processes of the load generator, one for each port, and adds up what came of them."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bench.load.requests import Request, write
from bench.problems import BenchError, WrongAnswerError

# Longer than any run takes.
_SECONDS = 300


class Run(NamedTuple):
    """What came of a load: requests, those per second of all ports, and the time of each."""

    requests: int
    rate: float
    microseconds: list[int]


class Protocol(NamedTuple):
    """What is spoken: gRPC if there is a method's path, else HTTP/1.1."""

    path: str = ""
    metadata: Mapping[str, str] = {}
    status: int = 200

    def arguments(self) -> list[str]:
        """It as arguments of `python -m bench.load`."""
        if self.path:
            return ["--grpc", self.path, "--metadata", json.dumps(dict(self.metadata))]
        return ["--status", str(self.status)]


class Pressure(NamedTuple):
    """How much is asked at a time: connections in all, calls on each, and a rate if there is one.

    Answers must have a length between `lengths`.
    """

    connections: int
    lengths: tuple[int, int]
    streams: int = 1
    rate: float = 0


def put(
    folder: Path,
    ports: Sequence[int],
    protocol: Protocol,
    pressure: Pressure,
    requests: Sequence[Request],
) -> Run:
    """Sends each port its share of requests, to all at the same time.

    Raises WrongAnswerError if any answer is not what it should be.
    """
    with ExitStack() as stack:
        started = []
        for number, port in enumerate(ports):
            path = folder / f"load-{number}.requests"
            write(path, requests[number :: len(ports)])
            arguments = [
                *(str(path), "--port", str(port), *protocol.arguments()),
                *("--connections", str(max(1, pressure.connections // len(ports)))),
                *("--streams", str(pressure.streams), "--seed", str(number)),
                *("--rate", str(pressure.rate / len(ports))),
            ]
            started.append(stack.enter_context(_generator(arguments)))
        for each in started:
            each.await_ready()
        for each in started:
            each.go()
        told = [each.told() for each in started]
    return _added(told, pressure, len(requests))


@contextmanager
def _generator(arguments: Sequence[str]) -> Iterator["_Generator"]:
    with subprocess.Popen(
        [sys.executable, "-m", "bench.load", *arguments],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield _Generator(process)
        finally:
            process.kill()


class _Generator:
    """A process of the load generator."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def await_ready(self) -> None:
        """Waits until it is connected. Raises BenchError."""
        if self._process.stdout and not self._process.stdout.readline():
            self.told()

    def go(self) -> None:
        """Has it begin."""
        if self._process.stdin:
            self._process.stdin.write("\n")
            self._process.stdin.flush()

    def told(self) -> dict[str, Any]:
        """Waits for its end, and returns what it says of its requests. Raises BenchError."""
        out, error = self._process.communicate(timeout=_SECONDS)
        if self._process.returncode:
            raise BenchError(f"the load generator failed: {error}")
        told: dict[str, Any] = json.loads(out)
        return told


def _added(told: Sequence[dict[str, Any]], pressure: Pressure, wanted: int) -> Run:
    for each in told:
        if each["wrong"]:
            raise WrongAnswerError(each["wrong"][0])
        least, most = pressure.lengths
        if each["shortest"] < least or each["longest"] > most:
            lengths = f"{each['shortest']} to {each['longest']}"
            raise WrongAnswerError(f"answers have {lengths} bytes, not {least} to {most}")
    microseconds = sorted(time for each in told for time in each["microseconds"])
    if len(microseconds) != wanted:
        raise WrongAnswerError(f"{len(microseconds)} of {wanted} requests were answered")
    rate = sum(len(each["microseconds"]) / each["seconds"] for each in told)
    return Run(wanted, rate, microseconds)
