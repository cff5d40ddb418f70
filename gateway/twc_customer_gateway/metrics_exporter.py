"""Serves the metrics of all workers and of Envoy to Prometheus on one port.

A process of its own: the supervisor must have no other thread, because it forks,
and no scraper may hold it up.
"""

import argparse
import socket

from twc_customer_gateway.supervisor import envoy_admin
from twc_customer_server.contract import SERVICE
from twc_customer_server.telemetry import logs
from twc_customer_server.telemetry.metrics import ServiceMetrics
from twc_customer_server.telemetry.metrics_server import MetricsServer, render

# Of Envoy's statistics: connections and requests of clients, the number of workers, and
# the outcome of requests sent to them.
_NAMES = r"^(http\.public\.downstream_(cx|rq)|cluster\.server\.(membership|upstream_rq))_"


def envoy_metrics(admin_socket: str) -> bytes:
    """Returns Envoy's metrics in Prometheus' text format; none while Envoy does not respond."""
    try:
        return envoy_admin.request(admin_socket, "GET", f"/stats/prometheus?filter={_NAMES}")
    except OSError:
        return b""


def main() -> None:
    """Serves on a socket the counts in pieces of memory; both are inherited file descriptors."""
    parser = argparse.ArgumentParser(prog="python -m twc_customer_gateway.metrics_exporter")
    parser.add_argument("log_level", help="least severe level that is logged")
    parser.add_argument("admin_socket", help="Envoy's administration socket")
    parser.add_argument("listener", type=int, help="socket that listens")
    parser.add_argument("memories", type=int, nargs="+", help="memory of each worker's counts")
    args = parser.parse_args()
    logs.configure(args.log_level)
    counts = [ServiceMetrics(SERVICE, memory) for memory in args.memories]

    def render_all() -> bytes:
        return render(counts) + envoy_metrics(args.admin_socket)

    MetricsServer(socket.socket(fileno=args.listener), render_all).serve_forever()


if __name__ == "__main__":
    main()
