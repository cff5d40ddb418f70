"""Issuers that are away, slow or hostile, and realms that somebody invents: who is served still."""

import itertools
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.api.issued import GET, code, eventually, metadata, serving, serving_at
from tests.support.client import SECONDS, failure, send
from tests.support.forged import TENANT
from tests.support.issuers import Answer, IssuerSite, dripping, hanging, publishing, response
from tests.support.tokens import Issuer, jwks

OK, UNAVAILABLE = grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE

THREADS = 8

# Between two rounds of calls: they leave the processor to what goes on meanwhile.
PAUSE_SECONDS = 0.02

ISSUED = Issuer()
PUBLISHED = jwks(ISSUED)

AWAY: dict[str, Answer] = {
    "hangs": hanging,
    "drips": dripping(PUBLISHED, 20, seconds=1),
    "fails": publishing(PUBLISHED, "503 Service Unavailable"),
    "closes": lambda connection, _: connection.close(),
    "is another": publishing(b"<html></html>"),
}


@pytest.fixture
def site() -> Iterator[IssuerSite]:
    """The web server of an issuer, which publishes its keys."""
    with IssuerSite(publishing(PUBLISHED)) as site:
        yield site


@pytest.fixture
def database(tmp_path: Any) -> dict[str, Any]:
    """Settings of a database of the test's own: which kind makes no difference."""
    return {"data_dir": tmp_path}


def is_serving(channel: grpc.Channel) -> bool:
    """Tells what the health check says."""
    stub: Any = health_pb2_grpc.HealthStub(channel)
    answer = stub.Check(health_pb2.HealthCheckRequest(), SECONDS)
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


@pytest.mark.parametrize("answer", AWAY.values(), ids=AWAY)
def test_issuer_away(database: dict[str, Any], site: IssuerSite, answer: Answer) -> None:
    """While an issuer is away the keys at hand serve, and no call waits for it."""
    known = ISSUED.token(tenant=TENANT)
    # A fifth of it is left, on a busy machine, to begin the fetch that keeps them.
    lifetime = 2.0
    with serving(database, ISSUED.name, site.url, jwks_lifetime_seconds=lifetime) as channel:
        assert code(channel, known) is OK
        site.answer = answer
        fetches = len(site.paths)
        codes, longest = set(), 0.0
        end = time.monotonic() + 2 * lifetime
        for number in itertools.count():
            began = time.monotonic()
            unknown = ISSUED.token(tenant=TENANT, jti=str(number))
            codes |= {code(channel, known), code(channel, unknown)}
            longest = max(longest, time.monotonic() - began)
            if time.monotonic() > end and len(site.paths) > fetches:
                break
            time.sleep(PAUSE_SECONDS)
        assert is_serving(channel)
    assert codes == {OK}
    # A fetch may take five seconds.
    assert longest < 3


@pytest.mark.parametrize("answer", [hanging, dripping(PUBLISHED, 20, 1)], ids=["hangs", "drips"])
def test_issuer_that_never_answered(
    database: dict[str, Any], site: IssuerSite, answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls whose keys never came are told when to try again, and health is as ever."""
    monkeypatch.setattr("twc_customer_server.middleware.awaiting._WAIT_SECONDS", 0.5)
    site.answer = answer
    with (
        serving(database, ISSUED.name, site.url) as channel,
        ThreadPoolExecutor(2 * THREADS) as pool,
    ):
        sent = metadata(ISSUED.token(tenant=TENANT))

        def refused(_: int) -> tuple[grpc.StatusCode, str, float | None]:
            refusal = failure(lambda: send(channel, "GetCustomer", GET, sent))
            return refusal.code, refusal.reason, refusal.retry

        refusals = pool.map(refused, range(4 * THREADS))
        assert is_serving(channel)
        assert set(refusals) == {(UNAVAILABLE, "SERVICE_UNAVAILABLE", 1.0)}


def test_slow_issuer(database: dict[str, Any], site: IssuerSite) -> None:
    """The first call waits for the keys of an issuer that takes its time, and is answered."""
    may_answer = threading.Event()

    def answer(connection: socket.socket, _: str) -> None:
        assert may_answer.wait(SECONDS)
        connection.sendall(response(PUBLISHED))

    site.answer = answer
    with serving(database, ISSUED.name, site.url) as channel:
        eventually(lambda: bool(site.paths))
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(code, channel, ISSUED.token(tenant=TENANT))
            may_answer.set()
            assert first.result(SECONDS) is OK


def test_fetch_at_start(database: dict[str, Any], site: IssuerSite) -> None:
    """The keys of the one issuer are fetched before the first call."""
    with serving(database, ISSUED.name, site.url):
        eventually(lambda: bool(site.paths))


class Flood:
    """Calls with forged tokens, each of a realm of its own, on some connections."""

    def __init__(self, address: str) -> None:
        self.codes: set[grpc.StatusCode] = set()
        self._address = address
        self._numbers = itertools.count()
        self._end = threading.Event()

    def run(self) -> None:
        """Calls until the end."""
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(self._address, options) as channel:
            while not self._end.is_set():
                forged = Issuer(f"https://id.example/forged-{next(self._numbers)}")
                self.codes.add(code(channel, forged.token()))

    def end(self) -> None:
        """Ends the calls."""
        self._end.set()


def test_flood_of_forged_realms(
    database: dict[str, Any], site: IssuerSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While tokens name one realm after another that hangs, those of genuine realms are served."""
    monkeypatch.setattr("twc_customer_server.auth.jwks.FETCH_SECONDS", 0.5)
    monkeypatch.setattr("twc_customer_server.middleware.awaiting._WAIT_SECONDS", 0.5)
    acme, other = (Issuer(f"https://id.example/{name}") for name in ("acme", "other"))
    documents = {"/acme": jwks(acme), "/other": jwks(other)}

    def answer(connection: socket.socket, path: str) -> None:
        if path in documents:
            connection.sendall(response(documents[path]))
        else:
            hanging(connection, path)

    site.answer = answer
    with (
        serving_at(database, "https://id.example/{tenant}", f"{site.url}/{{tenant}}") as address,
        grpc.insecure_channel(address) as channel,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        known = acme.token()
        assert code(channel, known, "acme") is OK
        flood = Flood(address)
        try:
            for _ in range(THREADS):
                pool.submit(flood.run)
            eventually(lambda: UNAVAILABLE in flood.codes)
            fetches = site.paths.count("/acme")
            codes = set()
            # Its keys are refreshed twice meanwhile.
            while site.paths.count("/acme") < fetches + 2:
                codes |= {code(channel, known, "acme"), code(channel, acme.token(), "acme")}
                time.sleep(PAUSE_SECONDS)
            assert codes == {OK}
            assert is_serving(channel)
            eventually(lambda: code(channel, other.token(), "other") is OK)
        finally:
            flood.end()
    assert OK not in flood.codes
    assert site.most_running <= 3 * THREADS
