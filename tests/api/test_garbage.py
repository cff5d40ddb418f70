"""What a call has read is freed when it ends, however it ends: no collector has to find it."""

import gc
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NoReturn

import grpc
import pytest
from twc.customer.v2 import customer_service_pb2 as pb

from tests.support.builders import UNKNOWN_ID, customer
from tests.support.client import Client, as_tenant, failure
from tests.support.server_process import wait_until
from twc_customer_server.contract import SERVICE
from twc_customer_server.errors import NotFound
from twc_customer_server.middleware.rpc import Call
from twc_customer_server.storage.reads import CustomerReads, Found, Page

LOOKUP = f"/{SERVICE.full_name}/LookupCustomers"


class Kept(list[Found]):
    """A list that a weak reference can tell the end of."""


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    """Frees nothing but what nothing refers to."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize(
    "fail", [partial(NotFound, "id"), RuntimeError], ids=["foreseen", "unforeseen"]
)
def test_failed_call(
    client: Client, monkeypatch: pytest.MonkeyPatch, fail: Callable[[], Exception]
) -> None:
    """A call that fails leaves nothing, whether or not its error was foreseen."""
    read = list[weakref.ref[Kept]]()

    def reading(*_: object) -> NoReturn:
        found = Kept()
        read.append(weakref.ref(found))
        error = fail()
        raise error

    monkeypatch.setattr(CustomerReads, "get_by_id", reading)
    failure(lambda: client.get(UNKNOWN_ID))
    wait_until(lambda: read[0]() is None)


def test_cancelled_lookup(
    channel: grpc.Channel, client: Client, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lookup whose client is gone before it is told of the next page leaves nothing."""
    client.create(customer(last_name="Same"))
    read = list[weakref.ref[Kept]]()
    page, set_status = CustomerReads.page, Call.set_status

    def reading(reads: CustomerReads, *arguments: Any) -> Page:
        found = Kept(page(reads, *arguments).found)
        read.append(weakref.ref(found))
        return Page(found, has_more=True)

    def late(call: Call, *arguments: Any) -> None:
        running.cancel()
        wait_until(lambda: not call.is_active())
        set_status(call, *arguments)

    monkeypatch.setattr(CustomerReads, "page", reading)
    monkeypatch.setattr(Call, "set_status", late)
    look_up: Any = channel.unary_stream(LOOKUP)
    request = pb.LookupCustomersRequest(last_name="Same").SerializeToString()
    running = look_up(request, None, as_tenant(tenant))
    wait_until(lambda: bool(read) and read[0]() is None)
