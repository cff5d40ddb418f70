"""Which calls of grpcio are handed on."""

import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from twc_customer_server.transport.admission import Dispatcher
from twc_customer_server.transport.incoming import GrpcioExecutor


@pytest.mark.parametrize("is_of_gateway", [False, True])
def test_peer(*, is_of_gateway: bool) -> None:
    """A call that comes to the address of gateways says so with where it comes from."""
    found: list[Any] = []
    event = SimpleNamespace(
        invocation_metadata=(),
        call_details=SimpleNamespace(deadline=float("inf")),
        call=SimpleNamespace(peer=lambda: b"ipv4:192.0.2.1:5000"),
    )
    state = SimpleNamespace(condition=threading.Condition(), callbacks=[])
    nothing: Any = None
    dispatcher = Dispatcher({nothing: found.append})
    executor = GrpcioExecutor(dispatcher.take, is_of_gateway=is_of_gateway)
    executor.submit(nothing, nothing, event, state, nothing, nothing, nothing, nothing)
    [call] = found
    assert call.peer() == ("gateway:" if is_of_gateway else "") + "ipv4:192.0.2.1:5000"


@pytest.mark.parametrize(
    ("seconds", "accepted"), [(float("inf"), 1), (60, 1), (0, 0), (-60, 0)], ids=str
)
def test_deadline(seconds: float, accepted: int) -> None:
    """A call whose deadline has passed before it is seen is left out."""
    found: list[Any] = []
    event = SimpleNamespace(
        invocation_metadata=(), call_details=SimpleNamespace(deadline=time.time() + seconds)
    )
    state = SimpleNamespace(condition=threading.Condition(), callbacks=[])
    nothing: Any = None

    def behavior(_: object, __: object) -> None:
        """Does nothing."""

    GrpcioExecutor(Dispatcher({behavior: found.append}).take).submit(
        nothing, nothing, event, state, behavior, nothing, nothing, nothing
    )
    assert len(found) == accepted
