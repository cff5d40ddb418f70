"""Metrics as Prometheus finds them."""

from prometheus_client.parser import text_string_to_metric_families

from tests.support.http_client import http_request
from twc_customer_server.contract import SERVICE


class Scrape:
    """What is served at `/metrics` on a port of this machine, now."""

    def __init__(self, port: int) -> None:
        answer = http_request("GET", f"http://127.0.0.1:{port}/metrics")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        self.text = answer.text

    def value(self, name: str, **labels: str) -> float | None:
        """The value of one series, if it is there."""
        # To parse all takes longer than the scrape. Counters may have the suffix only once parsed.
        family = name.removesuffix("_total")
        starts = (family, f"# TYPE {family}")
        lines = (it for it in self.text.splitlines(keepends=True) if it.startswith(starts))
        return next(
            (
                sample.value
                for family in text_string_to_metric_families("".join(lines))
                for sample in family.samples
                if sample.name == name and sample.labels == labels
            ),
            None,
        )

    def calls(self, rpc: str, code: str) -> float | None:
        """How many calls of an RPC have ended with a code, as Go spells it."""
        return self.value("grpc_server_handled_total", **labels_of(rpc), grpc_code=code)

    def in_progress(self, rpc: str) -> float | None:
        """How many calls of an RPC have begun and not ended."""
        return self.value("grpc_server_calls_in_progress", **labels_of(rpc))


def labels_of(rpc: str) -> dict[str, str]:
    """The labels that the metrics of an RPC have."""
    method = SERVICE.methods_by_name[rpc]
    kinds = [["unary", "server_stream"], ["client_stream", "bidi_stream"]]
    return {
        "grpc_type": kinds[method.client_streaming][method.server_streaming],
        "grpc_service": "twc.customer.v2.CustomerService",
        "grpc_method": rpc,
    }
