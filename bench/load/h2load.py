"""h2load, for requests that differ in their path only, or not at all."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.load.running import Run
from bench.problems import BenchError, WrongAnswerError

MISSING = "h2load is needed: install the package nghttp2-client (apt-get install nghttp2-client)"

_SECONDS = 300
_FOUND = re.compile(
    r"finished in .*?, (?P<rate>[\d.]+) req/s.*"
    r"requests: (?P<total>\d+) total.* (?P<succeeded>\d+) succeeded, (?P<failed>.*? timeout)\n"
    r"status codes: (?P<good>\d+) 2xx.*"
    r"traffic: .*\((?P<data>\d+)\) data",
    re.DOTALL,
)


class Load(NamedTuple):
    """What h2load sends: over HTTP/1.1 the URIs of a file, or over HTTP/2 one body to a path.

    It writes a log for each port into a folder.
    """

    folder: Path
    headers: Mapping[str, str]
    connections: int
    lengths: tuple[int, int]
    uris: Path | None = None
    path: str = ""
    body: Path | None = None
    streams: int = 1

    def arguments(self, port: int, ports: int, requests: int) -> list[str]:
        """It as arguments, for one of several ports and requests."""
        base = f"http://127.0.0.1:{port}"
        connections = max(1, self.connections // ports)
        numbers = {"-n": requests, "-c": connections, "-m": self.streams, "-t": 1}
        given = [f"{option}{value}" for option, value in numbers.items()]
        given += [f"-H{name}: {value}" for name, value in self.headers.items()]
        given += [f"--log-file={self.log(port)}"]
        if self.uris:
            return [*given, "--h1", f"-B{base}", f"-i{self.uris}"]
        return [*given, f"-d{self.body}", base + self.path]

    def log(self, port: int) -> Path:
        """Where it says how long each request of a port took."""
        return self.folder / f"{port}.tsv"


def found() -> str:
    """The path of h2load. Raises BenchError with how to get it."""
    if path := shutil.which("h2load"):
        return path
    raise BenchError(MISSING)


def put(ports: Sequence[int], load: Load, requests: int) -> Run:
    """Sends each port its share of requests, to all at the same time.

    Raises WrongAnswerError if any answer is not what it should be, as far as
    h2load looks at them: by status and by the length of all together.
    """
    share = requests // len(ports)
    command = found()
    with ExitStack() as stack:
        started = [
            stack.enter_context(_started([command, *load.arguments(port, len(ports), share)]))
            for port in ports
        ]
        outputs = [process.communicate(timeout=_SECONDS)[0] for process in started]
    microseconds = sorted(time for port in ports for time in _times(load.log(port)))
    every = sum(rate(output, load.lengths) for output in outputs)
    return Run(share * len(ports), every, microseconds)


def _times(log: Path) -> list[int]:
    """The microseconds that requests took: the third column, after moment and status."""
    times = [int(line.split("\t")[2]) for line in log.read_text().splitlines()]
    log.unlink()
    return times


@contextmanager
def _started(command: Sequence[str]) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def rate(output: str, lengths: tuple[int, int]) -> float:
    """The requests per second of a run. Raises WrongAnswerError."""
    found = _FOUND.search(output)
    if not found:
        raise BenchError(f"h2load failed: {output}")
    total = int(found["total"])
    if not total == int(found["succeeded"]) == int(found["good"]):
        raise WrongAnswerError(f"of {total} requests {found['succeeded']} succeeded: {output}")
    least, most = lengths
    if not least <= int(found["data"]) / total <= most:
        mean = int(found["data"]) / total
        raise WrongAnswerError(f"answers have {mean:.0f} bytes, not {least} to {most}")
    return float(found["rate"])
