"""Calls leave nothing for the garbage collector, such as the request that was sent."""

import asyncio
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from twc.customer.v2 import customer_service_pb2 as pb

from tests.support.builders import customer
from tests.support.in_process import InProcessServer
from tests.support.server_process import wait_until
from tests.support.tokens import token_for
from twc_customer_client import AsyncCustomerClient, CustomerClient, errors
from twc_customer_client.sync.call_thread import uninterrupted

pytestmark = pytest.mark.usefixtures("without_collector")


def _call(client: Any) -> Any:
    return client.get_by_email("nobody@example.com")


def _upload(client: Any) -> Any:
    return client.upload([customer(mobile="x")], atomic=True)


def _import(client: Any) -> Any:
    # It has no option of this number.
    batch = pb.ImportCustomersRequest(on_conflict=7)  # type: ignore[arg-type]
    batch.items.add(customer=customer())
    return client.import_batches([batch])


def _follow(client: Any) -> Any:
    return client.follow("no cursor")


each_call = pytest.mark.parametrize("call", [_call, _upload, _import, _follow])


@each_call
def test_failed_call(server: InProcessServer, tenant: str, call: Callable[[Any], Any]) -> None:
    """The error of a call is freed as soon as it was handled, and with it all that it refers to."""
    with CustomerClient(server.address, tenant=tenant, token=token_for(tenant)) as client:
        try:
            list(call(client))
        except errors.CustomerError as error:
            freed = weakref.ref(error)
        assert freed() is None


@each_call
def test_failed_asynchronous_call(
    server: InProcessServer, tenant: str, call: Callable[[Any], Any]
) -> None:
    """So is that of the asynchronous client."""

    async def fail() -> None:
        async with AsyncCustomerClient(
            server.address, tenant=tenant, token=token_for(tenant)
        ) as client:
            try:
                made = call(client)
                if asyncio.iscoroutine(made):
                    await made
                else:
                    [_ async for _ in made]
            except errors.CustomerError as error:
                freed = weakref.ref(error)
            assert freed() is None

    asyncio.run(fail())


class _Call:
    """A call of the main thread."""

    def __call__(self) -> None:
        """Returns at once."""


def test_call_of_main_thread() -> None:
    """The thread that makes the calls of the main thread keeps none while it waits for the next."""
    call = _Call()
    freed = weakref.ref(call)
    uninterrupted(call)
    del call
    wait_until(lambda: freed() is None)
