"""What a call has read is freed when it ends, however it ends: no collector has to find it."""

import sys
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

import grpc
import pytest
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from tests.support.builders import UNKNOWN_ID, customer
from tests.support.client import Client, as_tenant, failure
from tests.support.import_stream import ImportStream, batch, outcomes
from tests.support.server_process import wait_until
from twc_customer_server.api import imports
from twc_customer_server.contract import SERVICE
from twc_customer_server.errors import NotFound
from twc_customer_server.middleware.rpc import Call
from twc_customer_server.storage.reads import CustomerReads, Page

LOOKUP = f"/{SERVICE.full_name}/LookupCustomers"


class Kept(list[Any]):
    """A list that a weak reference can tell the end of."""


pytestmark = pytest.mark.usefixtures("without_collector")


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


def test_invalid_update_of_import(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch is freed whose customers would change others so that these were not valid."""
    stored = client.create(customer())
    edit_by = imports._edit_by  # noqa: SLF001 - what a batch keeps
    requested = list[weakref.ref[Kept]]()

    def editing(customers: Any, revise: Any) -> Any:
        kept = Kept(customers)
        requested.append(weakref.ref(kept))
        return edit_by(kept, revise)

    monkeypatch.setattr(imports, "_edit_by", editing)
    wrong = Customer(email=stored.email, mobile="no number")
    [answer] = client.import_([batch(wrong, on_conflict=pb.ImportCustomersRequest.UPDATE)])
    assert outcomes(answer) == ["error"]
    wait_until(lambda: requested[0]() is None)


def test_idle_import(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """An import keeps no batch that was answered while its client sends no other one."""
    import_batch = imports.import_batch
    batches = list[pb.ImportCustomersRequest]()

    def importing(store: Any, tenant: str, request: Any, *functions: Any) -> Any:
        batches.append(request)
        return import_batch(store, tenant, request, *functions)

    monkeypatch.setattr(imports, "import_batch", importing)
    stream = ImportStream(client)
    stream.send(customer())
    # Those of this list and of the question.
    wait_until(lambda: sys.getrefcount(batches[0]) == 2)
    stream.end()
