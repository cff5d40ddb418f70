"""Streams end when nobody reads them, and go on after a break."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import grpc
import pytest
from google.rpc import code_pb2
from twc.customer.v2 import customer_service_pb2 as pb

from tests.library.kinds import MakeClient
from tests.support.client import SECONDS
from tests.support.fake_services import fail, serving
from tests.support.server_process import starting
from twc_customer_client import AsyncCustomerClient, Customer, CustomerClient, errors

CHANGE = pb.CustomerChange(kind=pb.CustomerChange.CREATED, customer=Customer(id="1"))


class Feed:
    """A feed that sends a change for each number of its script, and then is silent."""

    def __init__(self, *script: int, code: "code_pb2.Code" = code_pb2.UNAVAILABLE) -> None:
        self._script = list(script)
        self._code = code
        self.cursors: list[str] = []
        self.released = threading.Event()

    def watch(
        self, request: pb.WatchCustomersRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.WatchCustomersResponse]:
        """Sends the changes of the next number, and breaks off unless it is the last."""
        context.add_callback(self.released.set)
        self.cursors.append(request.cursor)
        for number in range(self._script.pop(0)):
            cursor = f"{len(self.cursors)}.{number}"
            yield pb.WatchCustomersResponse(changes=[CHANGE], next_cursor=cursor)
        if self._script:
            fail(context, self._code)
        while context.is_active():
            time.sleep(0.01)


def close(feed: Any) -> None:
    """Closes a feed."""
    feed.close()


def leave(feed: Any) -> None:
    """Leaves a feed by an error."""
    with pytest.raises(LookupError), feed:
        raise LookupError


@pytest.mark.parametrize("end", [close, leave])
def test_end(connect: MakeClient, end: Any) -> None:
    """A feed that is closed ends its call."""
    service = Feed(1)
    with serving(WatchCustomers=service.watch) as address:
        feed = connect(address).follow()
        assert next(feed).customer.id == "1"
        assert not service.released.is_set()
        end(feed)
        assert service.released.wait(SECONDS)
        assert [*feed] == []


def test_forgotten_feed(connect: MakeClient) -> None:
    """A feed that is no longer used ends its call."""
    service = Feed(1)
    with serving(WatchCustomers=service.watch) as address:
        client = connect(address)
        for change in client.follow():
            assert change.customer.id == "1"
            break
        # The asynchronous client ends it when its loop runs again.
        with pytest.raises(errors.Unimplemented):
            client.get("1")
        assert service.released.wait(SECONDS)


@pytest.mark.parametrize("code", [code_pb2.UNAVAILABLE, code_pb2.CANCELLED, code_pb2.INTERNAL])
def test_resumption(connect: MakeClient, code: "code_pb2.Code") -> None:
    """A feed goes on after the last change, after breaks of its stream."""
    service = Feed(2, 0, 1, 1, code=code)
    with serving(WatchCustomers=service.watch) as address:
        feed = connect(address).follow("0")
        for _ in range(4):
            next(feed)
        assert service.cursors == ["0", "1.1", "1.1", "3.0"]
        assert feed.cursor == "4.0"


def test_quiet_feed(connect: MakeClient) -> None:
    """A feed without changes is not taken for broken by a client that is in a hurry."""

    def watch(_: Any, context: grpc.ServicerContext) -> Iterator[pb.WatchCustomersResponse]:
        assert not calls
        calls.append(context)
        time.sleep(1)
        yield pb.WatchCustomersResponse(changes=[CHANGE], next_cursor="1")

    calls: list[grpc.ServicerContext] = []
    with serving(WatchCustomers=watch) as address:
        assert next(connect(address, timeout=0.2).follow()).customer.id == "1"


def test_beginning_now(connect: MakeClient) -> None:
    """A feed from now on misses nothing, although its stream breaks before the first change."""
    service = Feed(0, 1)

    def changes(
        request: pb.ListCustomerChangesRequest, _: grpc.ServicerContext
    ) -> pb.ListCustomerChangesResponse:
        assert request.from_now
        return pb.ListCustomerChangesResponse(next_cursor="now")

    with serving(WatchCustomers=service.watch, ListCustomerChanges=changes) as address:
        next(connect(address).follow(from_now=True))
    assert service.cursors == ["now", "now"]


def test_silent_stream(connect: MakeClient) -> None:
    """A stream without a response in time is taken for broken."""
    released = threading.Event()

    def exports(
        _: pb.ExportCustomersRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ExportCustomersResponse]:
        context.add_callback(released.set)
        yield pb.ExportCustomersResponse(customers=[Customer(id="1")])
        released.wait()

    with serving(ExportCustomers=exports) as address:
        export = connect(address, timeout=5, retry_for=0).export()
        next(export)
        with pytest.raises(errors.DeadlineExceeded, match="no response within 5 s"):
            next(export)
        assert released.wait(SECONDS)


def test_restart_of_server(connect: MakeClient, tmp_path_factory: Any, tenant: str) -> None:
    """A feed survives the death and the restart of its server, and misses no change."""
    database = {"data_dir": tmp_path_factory.mktemp("feed")}
    with starting(database) as start:
        server = start()
        client = connect(server.address, retry_for=SECONDS)
        first = client.create(Customer(email="1@example.com"))
        feed = client.follow(retry_for=SECONDS)
        assert next(feed).customer.id == first.id

        server.stop(signal.SIGKILL)
        with starting(database) as restart:
            restarted = restart(server.address)
            second = restarted.client(tenant).create(Customer(email="2@example.com"))
            assert next(feed).customer.id == second.id
            feed.close()


def test_import_that_is_left(connect: MakeClient) -> None:
    """An import that is closed ends its call, and reads no more customers."""
    released = threading.Event()
    read = []

    def imports(
        requests: Iterator[pb.ImportCustomersRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.ImportCustomersResponse]:
        context.add_callback(released.set)
        for request in requests:
            results = [
                pb.ImportResult(sequence=item.sequence, created="1") for item in request.items
            ]
            yield pb.ImportCustomersResponse(results=results)

    def endless() -> Iterator[Customer]:
        while True:
            read.append(1)
            yield Customer(email="ada@example.com")

    with serving(ImportCustomers=imports) as address:
        with connect(address).import_customers(endless()) as results:
            assert next(results).outcome == "created"
            assert len(read) <= 4 * 400
        assert released.wait(SECONDS)


def test_cancelled_task() -> None:
    """A task that is cancelled while it waits for a change ends its call."""
    service = Feed(1)

    async def follow(address: str) -> None:
        async with AsyncCustomerClient(address, tenant="acme", token="x") as client:  # noqa: S106
            taken = asyncio.Event()

            async def take() -> None:
                async for _ in client.follow():
                    taken.set()

            task = asyncio.create_task(take())
            await taken.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(service.released.wait, SECONDS)

    with serving(WatchCustomers=service.watch) as address:
        asyncio.run(follow(address))


def test_context() -> None:
    """Calls are made in the context of their caller, as traces need it."""
    variable: ContextVar[str] = ContextVar("trace", default="")
    seen = []

    def observe(target: str, *options: Any) -> grpc.Channel:
        return grpc.intercept_channel(insecure_channel(target, *options), Observer())

    class Observer(grpc.UnaryUnaryClientInterceptor):
        def intercept_unary_unary(self, call: Any, details: Any, request: Any) -> Any:
            seen.append(variable.get())
            return call(details, request)

    insecure_channel = grpc.insecure_channel
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grpc, "insecure_channel", observe)
        client = CustomerClient("127.0.0.1:1", tenant="acme", token="x", retry_for=0)  # noqa: S106
    variable.set("trace-1")
    with client, pytest.raises(errors.Unavailable):
        client.get("1")
    assert seen == ["trace-1"]


def test_interrupted_call() -> None:
    """A call that Ctrl-C interrupts does not keep the next one waiting."""
    let_go = threading.Event()

    def get(request: pb.GetCustomerRequest, _: grpc.ServicerContext) -> Customer:
        if request.id == "slow":
            os.kill(os.getpid(), signal.SIGUSR1)
            let_go.wait()
        return Customer(id=request.id)

    before = signal.signal(signal.SIGUSR1, signal.default_int_handler)
    try:
        with (
            serving(GetCustomer=get) as address,
            CustomerClient(address, tenant="acme", token="x", timeout=SECONDS) as client,  # noqa: S106
        ):
            with pytest.raises(KeyboardInterrupt):
                client.get("slow")
            assert client.get("1").id == "1"
            let_go.set()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_threads() -> None:
    """A stream that has ended leaves no thread behind."""
    before = threading.active_count()
    service = Feed(1)
    with (
        serving(WatchCustomers=service.watch) as address,
        CustomerClient(address, tenant="acme", token="x") as client,  # noqa: S106 - no secret
    ):
        for _ in range(5):
            service = Feed(1)
            with client.follow() as feed:
                assert feed
        with client.follow() as feed:
            next(feed)
    end = time.monotonic() + SECONDS
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.01)
    assert threading.active_count() <= before
