"""A collector of OpenTelemetry: receives spans by OTLP, over HTTP or gRPC, as real ones do."""

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.client import SECONDS

PATH = "/v1/traces"

# Spans are exported soon after they end.
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "50"}


class Received:
    """What has been exported; `hangs` and `status` say how it is answered from now on."""

    def __init__(self) -> None:
        self.bytes = b""
        self.requests = 0
        self.status = 200
        self.hangs = threading.Event()
        self.released = threading.Event()
        self.resources: list[dict[str, Any]] = []
        self._spans: list[Span] = []

    def take(self, encoded: bytes) -> None:
        """Takes an export request, and hangs if it is to."""
        self.requests += 1
        if self.hangs.is_set():
            self.released.wait()
        if self.status != 200:
            return
        self.bytes += encoded
        for each in ExportTraceServiceRequest.FromString(encoded).resource_spans:
            self.resources.append(attributes(each.resource))
            for scope in each.scope_spans:
                self._spans += scope.spans

    def spans(self, trace_id: str = "") -> list[Span]:
        """The spans so far, in the order in which they began; of one trace if it is given."""
        found = [it for it in self._spans if not trace_id or it.trace_id.hex() == trace_id]
        return sorted(found, key=lambda it: it.start_time_unix_nano)

    def await_spans(
        self, is_enough: Callable[[list[Span]], bool], trace_id: str = ""
    ) -> list[Span]:
        """Waits until the spans are enough, and returns them. Raises TimeoutError."""
        end = time.monotonic() + SECONDS
        while not is_enough(found := self.spans(trace_id)):
            if time.monotonic() > end:
                raise TimeoutError([it.name for it in found])
            time.sleep(0.01)
        return found

    def await_named(self, name: str, trace_id: str = "") -> list[Span]:
        """Waits until there is a span of a name, and returns all of the trace."""
        return self.await_spans(lambda spans: any(it.name == name for it in spans), trace_id)


@contextmanager
def receiving() -> Iterator[tuple[Received, dict[str, str]]]:
    """Receives over HTTP; yields what comes, and the variables that have it sent here."""
    received = Received()

    class _Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.path == PATH
            received.take(body)
            self.send_response(received.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's
            """Logs no requests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield received, {"OTEL_EXPORTER_OTLP_ENDPOINT": url, **SOON}
    finally:
        received.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def receiving_grpc() -> Iterator[tuple[Received, dict[str, str]]]:
    """Receives over gRPC; yields what comes, and the variables that have it sent here."""
    received = Received()

    class _Service(trace_service_pb2_grpc.TraceServiceServicer):
        def Export(  # noqa: N802 - OTLP's name
            self,
            request: ExportTraceServiceRequest,
            context: Any,  # noqa: ARG002
        ) -> ExportTraceServiceResponse:
            received.take(request.SerializeToString())
            return ExportTraceServiceResponse()

    server = grpc.server(ThreadPoolExecutor(2))
    add: Any = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
    add(_Service(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    chosen = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
    }
    try:
        yield received, chosen | SOON
    finally:
        received.released.set()
        server.stop(None).wait()


def attributes(of: Any) -> dict[str, Any]:
    """The attributes of a span, link or resource, by name."""
    return {it.key: getattr(it.value, it.value.WhichOneof("value")) for it in of.attributes}


def children(spans: list[Span], parent: Span) -> list[Span]:
    """The spans directly within a span."""
    return [it for it in spans if it.parent_span_id == parent.span_id]
