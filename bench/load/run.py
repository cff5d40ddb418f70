"""Runs the load generator, with a process for each port, and combines the results."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import BenchError, WrongResponseError
from bench.load.connection import Request, write_requests

# Longer than any run takes.
TIMEOUT_SECONDS = 300


class LoadSummary(NamedTuple):
    """A completed load: its requests, those per second of all ports, and sorted latencies."""

    requests: int
    throughput: float
    latencies_us: list[int]


class Protocol(NamedTuple):
    """The protocol of a load: gRPC if `path` names a method, else HTTP/1.1 with a status."""

    path: str = ""
    metadata: Mapping[str, str] = {}
    status: int = 200

    def arguments(self) -> list[str]:
        """Returns it as arguments of `python -m bench.load`."""
        if self.path:
            return ["--grpc", self.path, "--metadata", json.dumps(dict(self.metadata))]
        return ["--status", str(self.status)]


class LoadProfile(NamedTuple):
    """Concurrency over all ports, the least and most bytes of a body, and the rate, 0 for none.

    The seed is that of the moments at which requests of a rate are due.
    """

    connections: int
    body_bytes: tuple[int, int]
    streams: int = 1
    rate: float = 0
    seed: int = 0


def run_load(
    folder: Path,
    ports: Sequence[int],
    protocol: Protocol,
    profile: LoadProfile,
    requests: Sequence[Request],
) -> LoadSummary:
    """Sends the ports equal shares of the requests, all at the same time.

    Raises WrongResponseError if a response is not the expected one.
    """
    with ExitStack() as stack:
        generators = []
        for index, port in enumerate(ports):
            path = folder / f"load-{index}.requests"
            write_requests(path, requests[index :: len(ports)])
            arguments = [
                *(str(path), "--port", str(port), *protocol.arguments()),
                *("--connections", str(max(1, profile.connections // len(ports)))),
                *(
                    "--streams",
                    str(profile.streams),
                    "--seed",
                    str(profile.seed * len(ports) + index),
                ),
                *("--rate", str(profile.rate / len(ports))),
            ]
            generators.append(stack.enter_context(_generator(arguments)))
        for generator in generators:
            generator.await_ready()
        for generator in generators:
            generator.start()
        reports = [generator.report() for generator in generators]
    return _combine(reports, profile, len(requests))


@contextmanager
def spawned(
    command: Sequence[str], *, stdin: int | None = None, stderr: int = subprocess.PIPE
) -> Iterator["subprocess.Popen[str]"]:
    """Starts a process in a session of its own, and kills it at the end of the block."""
    with subprocess.Popen(
        command,
        cwd=Path(__file__).parents[2],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def _generator(arguments: Sequence[str]) -> Iterator["_Generator"]:
    command = [sys.executable, "-m", "bench.load", *arguments]
    with spawned(command, stdin=subprocess.PIPE) as process:
        yield _Generator(process)


class _Generator:
    """A process of the load generator."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def await_ready(self) -> None:
        """Waits until it is connected. Raises BenchError."""
        if self._process.stdout and not self._process.stdout.readline():
            self.report()

    def start(self) -> None:
        """Starts its load."""
        if self._process.stdin:
            self._process.stdin.write("\n")
            self._process.stdin.flush()

    def report(self) -> dict[str, Any]:
        """Waits until it exits, and returns its report. Raises BenchError."""
        out, error = self._process.communicate(timeout=TIMEOUT_SECONDS)
        if self._process.returncode:
            raise BenchError(f"the load generator failed: {error}")
        report: dict[str, Any] = json.loads(out)
        return report


def _combine(reports: Sequence[dict[str, Any]], profile: LoadProfile, requests: int) -> LoadSummary:
    for report in reports:
        if report["errors"]:
            raise WrongResponseError(report["errors"][0])
        least, most = profile.body_bytes
        if report["min_bytes"] < least or report["max_bytes"] > most:
            sizes = f"{report['min_bytes']} to {report['max_bytes']}"
            raise WrongResponseError(f"responses have {sizes} bytes instead of {least} to {most}")
    latencies = sorted(latency for report in reports for latency in report["latencies_us"])
    if len(latencies) != requests:
        raise WrongResponseError(f"{len(latencies)} of {requests} requests have responses")
    throughput = sum(len(report["latencies_us"]) / report["seconds"] for report in reports)
    return LoadSummary(requests, throughput, latencies)
