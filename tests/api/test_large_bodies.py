"""How many large bodies of a tenant the gateway is to read, as the server tells it."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.support.client import SECONDS
from tests.support.server_process import wait_until
from tests.support.servers import Server, of_own_process
from twc_customer_server import contract
from twc_customer_server.transport.body_shares import MOST, MOST_WAITING
from twc_customer_server.transport.large_bodies import ProcessingRequest, ProcessingResponse

PROCESS = "/envoy.service.ext_proc.v3.ExternalProcessor/Process"
# What the server answers, by the member of its message: of a request's headers, of a response's.
PASSES, REFUSED, ANSWERED = "request_headers", "immediate_response", "response_headers"
# What there is when the stream has ended.
ENDED = "ended"

Begin = Callable[[str], "Body"]


def headers_of(tenant: str) -> bytes:
    """What the server is told of a body's headers."""
    request = ProcessingRequest()
    headers = request.request_headers.headers.headers
    headers.add(key=contract.LARGE_BODIES_HEADER, raw_value=tenant.encode())
    headers.add(key="content-length", raw_value=b"10000")
    encoded: bytes = request.SerializeToString()
    return encoded


class Body:
    """A body that is read, of which the server is told, and its answers so far."""

    def __init__(self, channel: grpc.Channel, first: bytes) -> None:
        self._told: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._told.put(first)
        told: Iterator[bytes] = iter(self._told.get, None)
        process: Any = channel.stream_stream(PROCESS)
        self.stream = process(told)
        self.answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with suppress(grpc.RpcError):
            for answer in self.stream:
                [(field, _)] = ProcessingResponse.FromString(answer).ListFields()
                self.answers.put(field.name)
        self.answers.put(ENDED)

    def respond(self) -> str:
        """Tells of the response, and returns the answer."""
        self._told.put(ProcessingRequest().SerializeToString())
        return self.answer()

    def close(self) -> None:
        """Ends the stream as Envoy does when it has told all."""
        self._told.put(None)

    def answer(self) -> str:
        """Waits for the next answer."""
        return self.answers.get(timeout=SECONDS)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server with an address for its gateway."""
    with Server(data_dir=tmp_path_factory.mktemp("bodies")) as server:
        yield server


@pytest.fixture
def begin(server: Any) -> Iterator[Begin]:
    """Begins bodies of tenants, all of which end with the test."""
    with ExitStack() as stack:
        channel = stack.enter_context(grpc.insecure_channel(server.gateway_address))

        def begin(tenant: str) -> Body:
            body = Body(channel, headers_of(tenant))
            stack.callback(body.close)
            stack.callback(body.stream.cancel)
            return body

        yield begin


def read(begin: Begin, tenant: str) -> list[Body]:
    """Begins as many bodies of a tenant as are read at a time."""
    bodies = [begin(tenant) for _ in range(MOST)]
    assert {body.answer() for body in bodies} == {PASSES}
    return bodies


ENDS: dict[str, Callable[[Body], object]] = {
    "answered": Body.close,
    "broken off": lambda body: body.stream.cancel(),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_turns(begin: Begin, tenant: str, end: Callable[[Body], object]) -> None:
    """A body waits while its tenant has as many as it may have, until one of them ends."""
    first, *_ = read(begin, tenant)
    second, third = begin(tenant), begin(tenant)
    assert begin(f"{tenant}-other").answer() == PASSES
    assert second.answers.empty()
    end(first)
    assert second.answer() == PASSES
    assert third.answers.empty()


def test_end(begin: Begin, tenant: str) -> None:
    """A stream goes on until Envoy has told of the response, and closed it."""
    body = begin(tenant)
    assert body.answer() == PASSES
    assert body.respond() == ANSWERED
    body.close()
    assert body.answer() == ENDED
    assert body.stream.code() is grpc.StatusCode.OK


def test_too_many(begin: Begin, tenant: str) -> None:
    """Beyond those that may wait a body is refused at once; one that has ended waits no more."""
    read(begin, tenant)
    waiting = [begin(tenant) for _ in range(MOST_WAITING)]
    assert begin(tenant).answer() == REFUSED
    waiting[0].stream.cancel()
    wait_until(lambda: not is_refused(begin(tenant)))
    assert begin(tenant).answer() == REFUSED


def is_refused(body: Body) -> bool:
    """Tells whether a body is refused within a moment."""
    try:
        return body.answers.get(timeout=0.2) == REFUSED
    except queue.Empty:
        return False


@of_own_process
def test_long_wait(begin: Begin, tenant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that has waited for too long is refused, and its end lets no other pass."""
    monkeypatch.setattr(contract, "LARGE_BODY_WAIT_SECONDS", 0.2)
    read(begin, tenant)
    late = begin(tenant)
    assert late.answer() == REFUSED
    late.close()
    assert late.answer() == ENDED
    assert begin(tenant).answer() == REFUSED


def test_what_is_no_message(server: Any) -> None:
    """What is no message of Envoy's is refused."""
    with grpc.insecure_channel(server.gateway_address) as channel:
        body = Body(channel, b"\xff")
        assert body.answer() == ENDED
        assert body.stream.code() is grpc.StatusCode.INVALID_ARGUMENT
        body.close()


def test_body_of_a_client(server: Any) -> None:
    """Nobody but the gateway can tell of bodies."""
    with grpc.insecure_channel(server.address) as channel:
        body = Body(channel, headers_of("acme"))
        assert body.answer() == ENDED
        assert body.stream.code() is grpc.StatusCode.UNIMPLEMENTED
        body.close()


def test_stop(tmp_path: Path) -> None:
    """A server that stops does not wait for bodies to end."""
    with Server(data_dir=tmp_path, grace_seconds=SECONDS) as server:
        channel = grpc.insecure_channel(server.gateway_address)
        body = Body(channel, headers_of("acme"))
        assert body.answer() == PASSES
        begin = time.monotonic()
    with channel:
        assert time.monotonic() - begin < SECONDS / 2
        assert body.answer() == ENDED
        body.close()
