"""The counts of calls as Prometheus reads them, and where it does."""

import logging
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from itertools import accumulate
from urllib.parse import urlsplit

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from twc_customer_server.telemetry.metrics import BOUNDS, CODES, Counts

PATH = "/metrics"

_LABELS = [*(str(float(bound)) for bound in BOUNDS), "+Inf"]

# How long a scraper may take to ask, or to take the answer.
_SECONDS = 5

_log = logging.getLogger(__name__)


class _Sum(Collector):
    """The sum of what several processes have counted."""

    def __init__(self, counts: Sequence[Counts]) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        """The families of metrics, with a series for each code that a call of the RPC had."""
        yield InfoMetricFamily(
            "twc_customer_build",
            "The version of the server.",
            {"version": version("twc-customer-server")},
        )
        in_progress = GaugeMetricFamily(
            "grpc_server_calls_in_progress",
            "Calls that have begun and not ended, streams among them.",
            labels=("grpc_method",),
        )
        handling = HistogramMetricFamily(
            "grpc_server_handling_seconds",
            "Time from the beginning of a call to its end, by the status code it ended with.",
            labels=("grpc_method", "grpc_code"),
        )
        for rpc in self._counts[0].meters:
            meters = [counts.meters[rpc] for counts in self._counts]
            in_progress.add_metric((rpc,), sum(meter.in_progress for meter in meters))
            for code in CODES:
                read, seconds = zip(*(meter.durations(code) for meter in meters), strict=True)
                buckets = [sum(same) for same in zip(*read, strict=True)]
                # What is not there from the beginning has no rate when it first happens.
                if any(buckets) or code == "OK":
                    cumulated = list(zip(_LABELS, accumulate(buckets), strict=True))
                    handling.add_metric((rpc, code), cumulated, sum(seconds))
        yield in_progress
        yield handling


def text(counts: Sequence[Counts]) -> bytes:
    """What several processes have counted, as one, in Prometheus' text format."""
    return generate_latest(_Sum(counts))


def listen(host: str, port: int) -> socket.socket:
    """A socket for an `Endpoint`. Raises OSError if something else listens there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


class Endpoint(ThreadingHTTPServer):
    """Answers `GET /metrics` on a socket that listens."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, render: Callable[[], bytes]) -> None:
        """Has each answer be what `render` returns."""
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.render = render
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Answers on a thread of its own."""
        self._thread = threading.Thread(target=self.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Answers no more, and listens no more."""
        if self._thread:
            self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        """Logs that a request was not answered; http.server would print why, and to whom."""
        _log.warning("metrics could not be served", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint
    timeout = _SECONDS

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
