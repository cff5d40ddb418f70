"""Serves metrics in Prometheus' text format over HTTP, and probes of an orchestrator."""

import logging
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

PATH = "/metrics"
# The process answers; it can serve calls.
LIVE_PATH, READY_PATH = "/livez", "/readyz"

# Time for a scraper to send its request, or to read the response.
_TIMEOUT_SECONDS = 5

_log = logging.getLogger(__name__)


class MetricsServer(ThreadingHTTPServer):
    """Serves `GET /metrics`, `/livez` and `/readyz` on a listening socket."""

    daemon_threads = True

    def __init__(
        self, listener: socket.socket, render: Callable[[], bytes], is_ready: Callable[[], bool]
    ) -> None:
        """Serves what `render` returns at each request, and what `is_ready` tells."""
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.render = render
        self.is_ready = is_ready
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
        path = urlsplit(self.path).path
        status, body = HTTPStatus.OK, b""
        if path == PATH:
            body = self.server.render()
        elif path == READY_PATH and not self.server.is_ready():
            status = HTTPStatus.SERVICE_UNAVAILABLE
        elif path not in (LIVE_PATH, READY_PATH):
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self.send_response(status)
        self.send_header("Content-Type", CONTENT_TYPE_PLAIN_0_0_4)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Logs no requests."""
