"""Runs h2load, for requests that differ in their paths only, or not at all."""

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from bench.errors import BenchError, WrongResponseError
from bench.load.run import TIMEOUT_SECONDS, LoadSummary, spawned

_OUTPUT = re.compile(
    r"finished in .*?, (?P<rate>[\d.]+) req/s.*"
    r"requests: (?P<total>\d+) total.* (?P<succeeded>\d+) succeeded, (?P<failed>.*? timeout)\n"
    r"status codes: (?P<good>\d+) 2xx.*"
    r"traffic: .*\((?P<data>\d+)\) data",
    re.DOTALL,
)


class H2loadOptions(NamedTuple):
    """The requests of h2load: the URIs of a file over HTTP/1.1, or a body to a path over HTTP/2.

    `body_bytes` are the least and most bytes of a response's body; `folder` is for logs.
    """

    folder: Path
    headers: Mapping[str, str]
    connections: int
    body_bytes: tuple[int, int]
    uris: Path | None = None
    path: str = ""
    body: Path | None = None
    streams: int = 1

    def arguments(self, port: int, ports: int, requests: int) -> list[str]:
        """Returns the command line for one of several ports and its share of requests."""
        base = f"http://127.0.0.1:{port}"
        connections = max(1, self.connections // ports)
        numbers = {"-n": requests, "-c": connections, "-m": self.streams, "-t": 1}
        arguments = [f"{option}{value}" for option, value in numbers.items()]
        arguments += [f"-H{name}: {value}" for name, value in self.headers.items()]
        arguments += [f"--log-file={self.log(port)}"]
        if self.uris:
            return [*arguments, "--h1", f"-B{base}", f"-i{self.uris}"]
        return [*arguments, f"-d{self.body}", base + self.path]

    def log(self, port: int) -> Path:
        """Returns the path of the log with the latencies of a port."""
        return self.folder / f"{port}.tsv"


def find_h2load() -> str:
    """Returns the path of h2load. Raises BenchError if it is not installed."""
    if path := shutil.which("h2load"):
        return path
    raise BenchError("h2load is missing: install nghttp2-client (apt-get install nghttp2-client)")


def run_h2load(ports: Sequence[int], options: H2loadOptions, requests: int) -> LoadSummary:
    """Sends the ports equal shares of the requests, all at the same time.

    Raises WrongResponseError if the statuses, or the mean size of the bodies, are
    not the expected ones: h2load checks no more.
    """
    share = requests // len(ports)
    h2load = find_h2load()
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                spawned(
                    [h2load, *options.arguments(port, len(ports), share)], stderr=subprocess.STDOUT
                )
            )
            for port in ports
        ]
        outputs = [process.communicate(timeout=TIMEOUT_SECONDS)[0] for process in processes]
    latencies = sorted(time for port in ports for time in _latencies(options.log(port)))
    throughput = sum(throughput_of(output, options.body_bytes) for output in outputs)
    return LoadSummary(share * len(ports), throughput, latencies)


def _latencies(log: Path) -> list[int]:
    """Reads and deletes a log, whose columns are start, status and microseconds."""
    latencies = [int(line.split("\t")[2]) for line in log.read_text().splitlines()]
    log.unlink()
    return latencies


def throughput_of(output: str, body_bytes: tuple[int, int]) -> float:
    """Returns the requests per second that h2load printed. Raises WrongResponseError."""
    found = _OUTPUT.search(output)
    if not found:
        raise BenchError(f"h2load failed: {output}")
    total = int(found["total"])
    if not total == int(found["succeeded"]) == int(found["good"]):
        raise WrongResponseError(f"of {total} requests {found['succeeded']} succeeded: {output}")
    least, most = body_bytes
    mean = int(found["data"]) / total
    if not least <= mean <= most:
        raise WrongResponseError(f"responses have {mean:.0f} bytes instead of {least} to {most}")
    return float(found["rate"])
