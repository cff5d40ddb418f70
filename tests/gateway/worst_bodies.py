"""Prints what a request costs the gateway whose small body is hard to read and whose token forged.

`python -m tests.gateway.worst_bodies`, with the size in bytes if it is another one than the
largest that is read before the token is verified.
"""

import http.client
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from math import inf
from pathlib import Path

import psutil

from tests.gateway.body_reader import cpu_seconds
from tests.gateway.json_shapes import CUSTOMER, SHAPES
from tests.gateway.stacks import running
from tests.support.client import SECONDS
from twc_customer_gateway.config import PUBLIC
from twc_customer_gateway.filters import SMALL_BODY_BYTES

HEADERS = {"content-type": "application/json", "authorization": "Bearer x", "x-twc-tenant": "acme"}
REQUESTS = 5
# The least of several rounds is what a request takes without other work on the machine.
ROUNDS = 100


def _public_envoy() -> int:
    [process] = [
        child.pid
        for child in psutil.Process().children(recursive=True)
        if any(argument.endswith(f"/{PUBLIC}.yaml") for argument in child.cmdline())
    ]
    return process


def _costs(port: int, size: int) -> Iterator[tuple[float, int, str]]:
    """Yields microseconds of a request, the status of its answer, and the body's shape."""
    envoy = _public_envoy()
    bodies = {"one customer": CUSTOMER}
    bodies |= {name: shape(size) for name, shape in SHAPES.items()}
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)) as connection:
        for name, body in bodies.items():
            best, status = inf, 0
            for _ in range(ROUNDS):
                start = cpu_seconds(envoy)
                for _ in range(REQUESTS):
                    connection.request("POST", "/api/v2/customers", body, HEADERS)
                    with connection.getresponse() as response:
                        response.read()
                    status = response.status
                best = min(best, (cpu_seconds(envoy) - start) / REQUESTS)
            yield best * 1e6, status, f"{name}, {len(body) / 1024:.1f} KiB"


def main() -> None:
    """Starts a service, and prints the table, the costliest first."""
    size = int(sys.argv[1]) if len(sys.argv) > 1 else SMALL_BODY_BYTES
    with tempfile.TemporaryDirectory() as folder, running({"data_dir": Path(folder)}) as stack:
        costs = sorted(_costs(stack.settings.gateway_port, size), reverse=True)
    rows = [f"| {name} | {status} | {cost:.0f} |" for cost, status, name in costs]
    table = ["| Body | Answer | Envoy's CPU time, µs |", "|---|---|---|", *rows]
    sys.stdout.write("\n".join(table) + "\n")


if __name__ == "__main__":
    main()
