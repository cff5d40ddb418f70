"""Serves the metrics of all workers and of Envoy on one port.

A process of its own, so that the one which starts workers again has no other
thread, which its forks may not have, and nothing that callers could hold up.
"""

import argparse
import http.client
import socket
from pathlib import Path

from twc_customer_gateway.supervisor import envoy_admin
from twc_customer_server.contract import SERVICE
from twc_customer_server.telemetry import logs
from twc_customer_server.telemetry.metrics import ServiceMetrics
from twc_customer_server.telemetry.metrics_server import MetricsServer, render

# Of all that Envoy keeps: connections and requests of clients, and how many workers there
# are and what became of the requests sent to them.
_NAMES = r"^(http\.public\.downstream_(cx|rq)|cluster\.server\.(membership|upstream_rq))_"


def of_envoy(socket_path: Path) -> bytes:
    """Envoy's own metrics in Prometheus' render format; none while it does not answer."""
    try:
        return envoy_admin.ask(socket_path, "GET", f"/stats/prometheus?filter={_NAMES}")
    except (OSError, http.client.HTTPException):
        return b""


def main() -> None:
    """Serves on a socket, and counts in memory, that file descriptors name."""
    parser = argparse.ArgumentParser(prog="python -m twc_customer_gateway.metrics_process")
    parser.add_argument("log_level", help="the least important messages that are logged")
    parser.add_argument("envoy", type=Path, help="Envoy's administration socket")
    parser.add_argument("listener", type=int, help="a socket that listens")
    parser.add_argument("memories", type=int, nargs="+", help="what workers count in")
    args = parser.parse_args()
    logs.configure(args.log_level)
    counts = [ServiceMetrics(SERVICE, memory) for memory in args.memories]

    def render_all() -> bytes:
        return render(counts) + of_envoy(args.envoy)

    MetricsServer(socket.socket(fileno=args.listener), render_all).serve_forever()


if __name__ == "__main__":
    main()
