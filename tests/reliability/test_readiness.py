"""A server without its database, or without keys, says so to a balancer, and that it lives."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from grpc_health.v1 import health_pb2

from tests.gateway.stacks import http_headers, running
from tests.reliability.proxy import Proxy
from tests.support.client import SECONDS
from tests.support.http_client import http_request
from tests.support.issuers import IssuerSite, publishing
from tests.support.ports import held_port
from tests.support.server_process import ServerProcess, Start, wait_until
from tests.support.tokens import jwks, trusted_issuer
from twc_customer_server.contract import SERVICE

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

OUTAGES: dict[str, Callable[[Proxy], AbstractContextManager[None]]] = {
    "away": Proxy.away,
    "stalled": Proxy.stalled,
}


def _status(server: ServerProcess, service: str) -> int:
    request = health_pb2.HealthCheckRequest(service=service)
    return int(server.health.Check(request, timeout=SECONDS).status)


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES)
def test_database_lost(
    start: Start, proxy: Proxy, outage: Callable[[Proxy], AbstractContextManager[None]]
) -> None:
    """While its database does not answer, a server is live and not ready, by gRPC and HTTP."""
    with held_port() as port:
        server = start(METRICS_PORT=str(port))
        watched = server.health.Watch(health_pb2.HealthCheckRequest(service=SERVICE.full_name))
        told = (answer.status for answer in watched)

        def probes() -> tuple[int, ...]:
            url = f"http://127.0.0.1:{port}"
            return tuple(http_request("GET", url + it).status_code for it in ("/livez", "/readyz"))

        assert next(told) == SERVING
        wait_until(lambda: probes() == (200, 200))
        with outage(proxy):
            assert next(told) == NOT_SERVING
            assert _status(server, SERVICE.full_name) == NOT_SERVING
            assert _status(server, "") == SERVING
            wait_until(lambda: probes() == (200, 503))
        assert next(told) == SERVING
        wait_until(lambda: probes() == (200, 200))
        watched.cancel()
        assert "not ready: the database does not answer" in server.log()


def test_gateway(proxy: Proxy, tmp_path: Path) -> None:
    """A machine whose database is away fails /readyz, and neither /livez nor /healthz."""
    database = {"data_dir": tmp_path, "database_url": proxy.url()}
    with running(database) as stack:
        origin = f"http://127.0.0.1:{stack.settings.gateway_port}"

        def statuses() -> list[int]:
            paths = ("/livez", "/healthz", "/readyz")
            return [http_request("GET", origin + path).status_code for path in paths]

        assert statuses() == [200, 200, 200]
        with proxy.away():
            wait_until(lambda: statuses() == [200, 200, 503])
            url = f"{origin}/api/v2/customers/search?email=a@example.com"
            refused = http_request("GET", url, headers=http_headers("acme"))
            assert (refused.status_code, refused.json()["code"]) == (503, 14)
        wait_until(lambda: statuses() == [200, 200, 200])


def test_no_keys(start: Start) -> None:
    """A server that could never fetch its issuer's keys is ready when it has them."""
    with IssuerSite(publishing(b"", "503 Unavailable")) as site:
        server = start(JWKS=f"{site.url}/jwks", JWKS_COOLDOWN_SECONDS="0.1")
        assert _status(server, SERVICE.full_name) == NOT_SERVING
        assert _status(server, "") == SERVING
        site.answer = publishing(jwks(trusted_issuer()))
        wait_until(lambda: _status(server, SERVICE.full_name) == SERVING)
