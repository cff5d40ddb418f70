"""Serves the metrics of all workers and of both Envoys to Prometheus on one port.

A process of its own: the supervisor must have no other thread, because it forks,
and no scraper may hold it up.
"""

import argparse
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from twc_customer_gateway.supervisor import envoy_admin
from twc_customer_server.contract import SERVICE
from twc_customer_server.telemetry import logs
from twc_customer_server.telemetry.exposition import render
from twc_customer_server.telemetry.metrics import ServiceMetrics
from twc_customer_server.telemetry.metrics_server import MetricsServer

# Of an Envoy's statistics: connections and requests of its clients, the number of workers,
# the outcome of requests sent to them, and its memory.
_NAMES = (
    r"^(http\.(public|large_bodies)\.downstream_(cx|rq)_|cluster\.server\.(membership|upstream_rq)_"
    r"|server\.memory_heap_size$)"
)


def envoy_metrics(admin_sockets: Sequence[str]) -> bytes:
    """Returns the metrics of Envoys in Prometheus' text format; none of one that does not respond.

    Their label `envoy` tells them apart. The format has all series of a name in one place.
    """
    # At the same time, so that those that hang are waited for no longer than one.
    with ThreadPoolExecutor() as threads:
        texts = list(threads.map(_metrics_of, admin_sockets))
    families: dict[str, list[str]] = {}
    for text in texts:
        family = ""
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                family = line
            elif line and not line.startswith("#"):
                families.setdefault(family, []).append(line)
    lines = (line for family, series in families.items() for line in (family, *series))
    return "".join(f"{line}\n" for line in lines).encode()


def _metrics_of(admin_socket: str) -> str:
    path = f"/stats/prometheus?filter={_NAMES}"
    try:
        return envoy_admin.request(admin_socket, "GET", path).decode()
    except OSError:
        return ""


def main() -> None:
    """Serves on a socket the counts in pieces of memory; both are inherited file descriptors."""
    parser = argparse.ArgumentParser(prog="python -m twc_customer_gateway.metrics_exporter")
    parser.add_argument("log_level", help="least severe level that is logged")
    parser.add_argument("listener", type=int, help="socket that listens")
    parser.add_argument(
        "--admin", action="append", default=[], help="administration socket of an Envoy"
    )
    parser.add_argument(
        "--memory", type=int, action="append", default=[], help="memory of a worker's counts"
    )
    args = parser.parse_args()
    logs.configure(args.log_level)
    counts = [ServiceMetrics(SERVICE, memory) for memory in args.memory]

    def render_all() -> bytes:
        return (render(counts) if counts else b"") + envoy_metrics(args.admin)

    def is_ready() -> bool:
        return envoy_admin.is_ready(args.admin[0])

    MetricsServer(socket.socket(fileno=args.listener), render_all, is_ready).serve_forever()


if __name__ == "__main__":
    main()
