"""Serves metrics in Prometheus' text format over HTTP."""

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from itertools import accumulate
from urllib.parse import urlsplit

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, Metric, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.registry import Collector

from twc_customer_server.telemetry.metrics import BOUNDS, CODES, PURGES, ServiceMetrics

PATH = "/metrics"

_LABELS = [*(str(float(bound)) for bound in BOUNDS), "+Inf"]

# Time for a scraper to send its request, or to read the response.
_TIMEOUT_SECONDS = 5

_log = logging.getLogger(__name__)


class _Collector(Collector):
    """Collects the sums of the metrics of several processes."""

    def __init__(self, processes: Sequence[ServiceMetrics]) -> None:
        self._processes = processes

    def collect(self) -> Iterator[Metric]:
        """Yields the metrics, with a series for each status code that an RPC has returned."""
        yield InfoMetricFamily(
            "twc_customer_build",
            "The version of the server.",
            {"version": version("twc-customer-server")},
        )
        in_progress = GaugeMetricFamily(
            "grpc_server_calls_in_progress",
            "Calls that have started and not ended, streams included.",
            labels=("grpc_method",),
        )
        handling = HistogramMetricFamily(
            "grpc_server_handling_seconds",
            "Time from the start of a call to its end, by its status code.",
            labels=("grpc_method", "grpc_code"),
        )
        for rpc in self._processes[0].rpcs:
            counted = [process.rpcs[rpc] for process in self._processes]
            in_progress.add_metric((rpc,), sum(each.in_progress for each in counted))
            for code in CODES:
                read, seconds = zip(*(each.durations(code) for each in counted), strict=True)
                buckets = [sum(same) for same in zip(*read, strict=True)]
                # A series that appears with its first call has no rate for it.
                if any(buckets) or code == "OK":
                    cumulated = list(zip(_LABELS, accumulate(buckets), strict=True))
                    handling.add_metric((rpc, code), cumulated, sum(seconds))
        yield in_progress
        yield handling
        yield from self._purges()

    def _purges(self) -> Iterator[Metric]:
        purged = CounterMetricFamily(
            "twc_customer_purged_rows",
            "Rows deleted because their time had come.",
            labels=("kind",),
        )
        overdue = GaugeMetricFamily(
            "twc_customer_purge_overdue_seconds",
            "Time since the oldest row that is left should have been purged, by the last look.",
            labels=("kind",),
        )
        for kind in PURGES:
            counted = [process.purges[kind] for process in self._processes]
            purged.add_metric((kind,), sum(each.purged for each in counted))
            now = time.time()
            due = min((each.due_since for each in counted if each.due_since), default=now)
            overdue.add_metric((kind,), max(0.0, now - due))
        yield purged
        yield overdue


def render(processes: Sequence[ServiceMetrics]) -> bytes:
    """Returns the sums of the metrics of several processes in Prometheus' text format."""
    return generate_latest(_Collector(processes))


class MetricsServer(ThreadingHTTPServer):
    """Serves `GET /metrics` on a listening socket."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, render: Callable[[], bytes]) -> None:
        """Serves what `render` returns at each request."""
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.render = render
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Serves on a thread of its own."""
        self._thread = threading.Thread(target=self.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stops serving and closes the socket."""
        if self._thread:
            self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        """Logs a failed request; http.server would print the error and the client's address."""
        _log.warning("metrics could not be served", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: MetricsServer
    timeout = _TIMEOUT_SECONDS

    def do_GET(self) -> None:
        if urlsplit(self.path).path != PATH:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        body = self.server.render()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", CONTENT_TYPE_PLAIN_0_0_4)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Logs no requests."""
