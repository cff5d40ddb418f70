"""A call that Envoy passes to Python, from its headers to its end."""

import threading
import weakref
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from tests.support.client import SECONDS
from twc_customer_server.transport.inprocess_call import InprocessCall, method_of
from twc_customer_server.transport.inprocess_loop import Future, run
from twc_customer_server.transport.wire import frame, read_head

HEADERS = ((b"content-type", b"application/grpc"), (b"te", b"trailers"))


class _Client:
    """Takes the events of a response, as pyvoy does."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def __call__(self, event: dict[str, Any]) -> Any:
        self.events.append(event)


@pytest.mark.usefixtures("without_collector")
def test_ended_call_is_freed() -> None:
    """A call that has ended is freed at once, and its token with it, without a collection."""
    handler: Any = grpc.unary_unary_rpc_method_handler(lambda request, _: request + b"!")
    client, body, messages = _Client(), Future(), list[Any]()
    call = InprocessCall(method_of(handler), read_head(HEADERS), None, client, 100)
    call.receive(messages.append)
    run(call.pump(lambda: body))
    body.set_result({"type": "http.request", "body": frame(b"hello"), "more_body": False})
    call.run_with(call.behavior, messages.pop())

    assert [event["type"] for event in client.events] == [
        "http.response.start",
        "http.response.body",
        "http.response.trailers",
    ]
    assert client.events[1]["body"] == frame(b"hello!")
    freed = weakref.ref(client)
    del call, client
    assert freed() is None


class _SlowClient(_Client):
    """Takes what a response has sent when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self._sent: list[Future] = []

    def __call__(self, event: dict[str, Any]) -> Any:
        super().__call__(event)
        self._sent.append(Future())
        return self._sent[-1]

    def take(self) -> None:
        """Takes all that was sent so far."""
        taken, self._sent = self._sent, []
        for each in taken:
            each.set_result(None)

    def leave(self) -> None:
        """Takes none of that, and is gone."""
        for each in self._sent:
            each.set_exception(OSError())

    def status(self) -> bytes:
        """The gRPC status that the response ends with."""
        headers = dict(self.events[-1]["headers"])
        return bytes(headers[b"grpc-status"])


@pytest.mark.usefixtures("without_collector")
def test_call_of_gone_client_is_freed() -> None:
    """So is a call that ends since its client is gone."""
    handler: Any = grpc.unary_unary_rpc_method_handler(lambda request, _: request)
    client = _SlowClient()
    call = InprocessCall(method_of(handler), read_head(HEADERS), None, client, 100)
    call.send(b"hello", list)
    client.leave()

    assert not call.is_active()
    freed = weakref.ref(client)
    del call, client
    assert freed() is None


def _running(client: _SlowClient, *, is_short: bool) -> InprocessCall:
    """A call whose handler has ended, and whose stream of 20 large messages has begun."""

    def handle(*_: object) -> Iterator[bytes]:
        yield from [bytes(20_000)] * 20

    handler: Any = grpc.unary_stream_rpc_method_handler(handle)
    call = InprocessCall(method_of(handler), read_head(HEADERS), None, client, 100)
    running = threading.Thread(
        target=call.run_with, args=(handle, b""), kwargs={"is_short": is_short}, daemon=True
    )
    running.start()
    running.join(SECONDS)
    assert not running.is_alive()
    return call


def test_unread_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread waits for long for the client of a stream who takes nothing."""
    monkeypatch.setattr("twc_customer_server.contract.STREAM_IDLE_SECONDS", 0.2)
    client = _SlowClient()
    call = _running(client, is_short=False)
    assert client.status() == b"1"
    assert not call.is_active()


def test_short_stream() -> None:
    """No thread waits for the client of a short stream, who gets a part when it took the last."""
    client = _SlowClient()
    call = _running(client, is_short=True)
    parts = 0
    while call.is_active():
        parts += 1
        assert [it["type"] for it in client.events].count("http.response.body") == parts
        client.take()
    assert parts == 20 // 2 - 1
    assert sum(len(it.get("body", b"")) for it in client.events) == 20 * len(frame(bytes(20_000)))
    assert client.status() == b"0"
