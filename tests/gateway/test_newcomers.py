"""What a flood of forged tokens costs callers whose token was not seen before."""

import itertools
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.gateway.service import Service
from tests.gateway.stacks import http_headers
from tests.security.http2 import Http2
from tests.support.builders import NO_CUSTOMER
from tests.support.client import SECONDS
from tests.support.http2_frames import Headers
from tests.support.server_process import wait_until

CONNECTIONS, CALLS = 10, 100
# Addresses of the flood, and of who comes from elsewhere.
HERE, ELSEWHERE = "127.0.0.2", "127.0.0.3"
NEWCOMERS = 6

Name = Callable[[], list[tuple[str, str]]]
numbers = itertools.count()

FLOODS: dict[str, Name] = {
    "of a tenant": lambda: [("x-twc-tenant", "acme")],
    "of many tenants": lambda: [("x-twc-tenant", f"t-{next(numbers)}")],
    "of many networks, as it says": lambda: [
        ("x-twc-tenant", f"t-{next(numbers)}"),
        ("x-forwarded-for", f"192.0.2.{next(numbers) % 250}"),
    ],
}


@contextmanager
def flooding(port: int, more: Name) -> Iterator[list[float]]:
    """Makes calls with forged tokens from `HERE`, so many at a time, until the end.

    Yields the seconds that as many calls took which a connection made at a time.
    """
    over = threading.Event()
    refused = threading.Event()
    waits: list[float] = []

    def headers() -> Headers:
        first = {":method": "GET", ":scheme": "http", ":path": f"/api/v2{NO_CUSTOMER}"}
        last = {":authority": "localhost", "authorization": "Bearer forged"}
        return [*first.items(), *last.items(), *more()]

    def flood(_: int) -> None:
        while not over.is_set():
            connection = Http2(port, SECONDS, source=HERE)
            began = time.monotonic()
            for _ in range(CALLS):
                connection.open(headers(), end=True)
            while not (connection.is_idle or connection.closed or over.is_set()):
                connection.read(0.1)
                if any(label == "429" for label, _ in connection.labels()):
                    refused.set()
            if connection.is_idle:
                waits.append(time.monotonic() - began)
            connection.socket.close()

    with ThreadPoolExecutor(CONNECTIONS) as threads:
        floods = [threads.submit(flood, number) for number in range(CONNECTIONS)]
        try:
            wait_until(refused.is_set)
            yield waits
            wait_until(lambda: len(waits) > CONNECTIONS)
        finally:
            over.set()
            for each in floods:
                each.result(SECONDS)


def call(service: Service, source: str) -> tuple[int, float]:
    """Makes the first call of a tenant from an address; returns its status and seconds."""
    port = service.settings.gateway_port
    transport = httpx.HTTPTransport(local_address=source)
    with httpx.Client(transport=transport, timeout=SECONDS) as http:
        begin = time.monotonic()
        url = f"http://127.0.0.1:{port}/api/v2{NO_CUSTOMER}"
        answer = http.get(url, headers=http_headers(f"new-{next(numbers)}"))
        return answer.status_code, time.monotonic() - begin


@pytest.mark.parametrize("flood", FLOODS)
def test_newcomers_of_other_networks(tmp_path: Path, flood: str) -> None:
    """However many forged tokens come from a network, newcomers of others are served."""
    with (
        Service(tmp_path, workers=1) as service,
        flooding(service.settings.gateway_port, FLOODS[flood]) as waits,
    ):
        calls = [call(service, ELSEWHERE) for _ in range(NEWCOMERS)]
    assert {status for status, _ in calls} == {204}
    assert statistics.median(seconds for _, seconds in calls) < statistics.median(waits) / 2


def test_newcomers_of_the_network(tmp_path: Path) -> None:
    """Newcomers of the network of the flood are served, if that names few tenants."""
    with (
        Service(tmp_path, workers=1) as service,
        flooding(service.settings.gateway_port, FLOODS["of a tenant"]) as waits,
    ):
        calls = [call(service, HERE) for _ in range(NEWCOMERS)]
    assert {status for status, _ in calls} == {204}
    assert statistics.median(seconds for _, seconds in calls) < statistics.median(waits) / 2
