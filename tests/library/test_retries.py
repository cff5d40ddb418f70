"""Calls are repeated if that helps and harms nothing."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.rpc import code_pb2
from twc.customer.v2 import customer_service_pb2 as pb

from tests.library.kinds import MakeClient
from tests.support.client import SECONDS
from tests.support.fake_services import Responses, accept, fail, serving
from twc_customer_client import Customer, errors

UNAVAILABLE, EXHAUSTED = code_pb2.UNAVAILABLE, code_pb2.RESOURCE_EXHAUSTED
UNKNOWN, INTERNAL = code_pb2.UNKNOWN, code_pb2.INTERNAL


class Store:
    """Stores customers once by their keys, and loses its first answers, or fails before."""

    def __init__(self, *failures: "tuple[code_pb2.Code, str] | None", stores: bool = False) -> None:
        self._failures = list(failures)
        self._stores = stores
        self.keys: list[str | None] = []
        self.stored: dict[str | int, Customer] = {}

    def create(self, request: pb.CreateCustomerRequest, context: grpc.ServicerContext) -> Customer:
        """Stores a customer under the call's key, or one of its own."""
        self._meet(context, request.customer)
        return request.customer

    def get(self, _: pb.GetCustomerRequest, context: grpc.ServicerContext) -> Customer:
        """Returns a customer."""
        self._meet(context, None)
        return Customer(id="1")

    def upload(
        self, requests: Iterator[pb.UploadCustomersRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.UploadCustomersResult]:
        """Stores the last customer of an upload."""
        [*_, last] = requests
        self._meet(context, last.customer)
        yield pb.UploadCustomersResult(index=0, customer=last.customer)

    def _meet(self, context: grpc.ServicerContext, customer: Customer | None) -> None:
        metadata = dict(context.invocation_metadata())
        key = metadata.get("idempotency-key")
        self.keys.append(str(key) if key else None)
        failure = self._failures.pop(0) if self._failures else None
        if customer and (self._stores or not failure):
            self.stored[str(key) if key else len(self.keys)] = customer
        if failure:
            fail(context, failure[0], 0, failure[1])


LOST = (UNAVAILABLE, "")
REFUSED = (UNAVAILABLE, "SERVICE_UNAVAILABLE")


@pytest.mark.parametrize(
    "failure",
    [
        LOST,
        REFUSED,
        (EXHAUSTED, "RATE_LIMITED"),
        (UNKNOWN, "OUTCOME_UNKNOWN"),
        (UNKNOWN, ""),
        (INTERNAL, ""),
        (code_pb2.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
    ],
)
@pytest.mark.parametrize("stores", [True, False])
def test_write(connect: MakeClient, failure: Any, stores: bool) -> None:  # noqa: FBT001
    """A write that fails so is repeated with the same key, and has one effect."""
    store = Store(failure, failure, stores=stores)
    with serving(CreateCustomer=store.create) as address:
        connect(address).create(Customer(email="ada@example.com"))

    assert len(store.keys) == 3
    assert len({*store.keys}) == 1
    assert len(store.keys[0] or "") == 36
    assert len(store.stored) == 1


def test_upload(connect: MakeClient) -> None:
    """An upload is repeated as a whole."""
    store = Store(LOST, stores=True)
    with serving(UploadCustomers=store.upload) as address:
        [result] = connect(address).upload([Customer(email="ada@example.com")])

    assert result.customer
    assert len(store.keys) == 2
    assert len(store.stored) == 1


@pytest.mark.parametrize(
    ("failure", "attempts"),
    [
        (LOST, 1),
        ((UNKNOWN, "OUTCOME_UNKNOWN"), 1),
        ((code_pb2.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"), 1),
        ((EXHAUSTED, ""), 1),
        # These say that nothing was changed.
        (REFUSED, 2),
        ((EXHAUSTED, "RATE_LIMITED"), 2),
    ],
)
def test_write_without_key(connect: MakeClient, failure: Any, attempts: int) -> None:
    """A write without a key is repeated only if it has surely had no effect."""
    store = Store(failure)
    with serving(CreateCustomer=store.create) as address:
        client = connect(address, repeat_writes=False)
        if attempts == 1:
            with pytest.raises(errors.CustomerError):
                client.create(Customer())
        else:
            client.create(Customer())
    assert store.keys == [None] * attempts


@pytest.mark.parametrize(
    "failure",
    [LOST, REFUSED, (UNKNOWN, ""), (code_pb2.DEADLINE_EXCEEDED, ""), (code_pb2.CANCELLED, "")],
)
def test_read(connect: MakeClient, failure: Any) -> None:
    """A read is repeated without a key."""
    store = Store(failure)
    with serving(GetCustomer=store.get) as address:
        connect(address).get("1")
    assert store.keys == [None, None]


@pytest.mark.parametrize(
    "failure",
    [
        (INTERNAL, "INTERNAL_ERROR"),
        (code_pb2.DATA_LOSS, "DATABASE_DAMAGED"),
        (code_pb2.INVALID_ARGUMENT, "INVALID_INPUT"),
        (code_pb2.ABORTED, "ETAG_MISMATCH"),
        (code_pb2.UNAUTHENTICATED, "UNAUTHENTICATED"),
    ],
)
def test_permanent_failure(connect: MakeClient, failure: Any) -> None:
    """A failure that another attempt would have, too, is not repeated."""
    store = Store(failure)
    with serving(CreateCustomer=store.create) as address:
        client = connect(address)
        with pytest.raises(errors.CustomerError):
            client.create(Customer())
    assert len(store.keys) == 1


def test_delay(connect: MakeClient) -> None:
    """An attempt waits as long as the service asks, and the caller is told."""
    calls: list[float] = []
    told: list[tuple[errors.CustomerError, float]] = []

    def get(_: pb.GetCustomerRequest, context: grpc.ServicerContext) -> Customer:
        calls.append(time.monotonic())
        if len(calls) == 1:
            fail(context, EXHAUSTED, 0.9, "RATE_LIMITED")
        return Customer(id="1")

    with serving(GetCustomer=get) as address:
        client = connect(address, on_retry=lambda error, delay: told.append((error, delay)))
        client.get("1")

    assert calls[1] - calls[0] >= 0.9
    [(error, delay)] = told
    assert isinstance(error, errors.RateLimited)
    assert delay == 0.9


def test_end_of_retries(connect: MakeClient) -> None:
    """A call is given up when its failures have lasted long enough; the last one is raised."""
    store = Store(*[LOST] * 100)
    with serving(GetCustomer=store.get) as address:
        client = connect(address, retry_for=1)
        with pytest.raises(errors.Unavailable) as raised:
            client.get("1")

    assert len(store.keys) > 1
    assert raised.value.repeated_for is not None
    assert raised.value.repeated_for <= 1


def test_deadline(connect: MakeClient) -> None:
    """A call ends at its own deadline, whatever its attempts were waiting for."""
    released = threading.Event()

    def get(request: pb.GetCustomerRequest, context: grpc.ServicerContext) -> Customer:
        if request.id == "late" and context.add_callback(released.set):
            released.wait()
        released.set()
        return Customer(id="1")

    with serving(GetCustomer=get) as address:
        client = connect(address)
        # Connects, which may take longer than the deadline.
        client.get("1")
        released.clear()
        with pytest.raises(errors.DeadlineExceeded):
            client.get("late", timeout=1)
        assert released.wait(SECONDS)


def test_deadline_of_retries(connect: MakeClient) -> None:
    """A call whose attempts fail ends with its deadline, although it could be repeated longer."""
    store = Store(None, *[LOST] * 100)
    with serving(GetCustomer=store.get) as address:
        client = connect(address, retry_for=10 * SECONDS)
        # Connects, which may take longer than the deadline.
        client.get("1")
        with pytest.raises((errors.Unavailable, errors.DeadlineExceeded)):
            client.get("1", timeout=2)
    assert len(store.keys) > 2


def test_waiting_for_connection(connect: MakeClient) -> None:
    """A client that is told to waits for a connection until the deadline, in place of failing."""
    with pytest.raises(errors.DeadlineExceeded):
        connect("127.0.0.1:1", wait_for_ready=True).get("1", timeout=0.5)


def test_import(connect: MakeClient) -> None:
    """An import that breaks off sends again what has no result."""
    calls: list[list[int]] = []

    def imports(
        requests: Iterator[pb.ImportCustomersRequest], context: grpc.ServicerContext
    ) -> Responses:
        calls.append([])
        for request in requests:
            if len(calls) < 3 and calls[-1]:
                fail(context, UNAVAILABLE)
            calls[-1].append(request.items[0].sequence)
            yield accept(request)

    with serving(ImportCustomers=imports) as address:
        stored = (Customer(email=f"{n}@example.com") for n in range(2000))
        results = [*connect(address).import_customers(stored)]

    assert [each.index for each in results] == [*range(2000)]
    assert calls == [[0], [400], [800, 1200, 1600]]


def test_failing_source(connect: MakeClient) -> None:
    """The error of what is imported is raised after the results of what came before."""

    def imports(
        requests: Iterator[pb.ImportCustomersRequest], _: grpc.ServicerContext
    ) -> Responses:
        yield from map(accept, requests)

    def batches() -> Iterator[pb.ImportCustomersRequest]:
        yield pb.ImportCustomersRequest(items=[pb.ImportItem(sequence=1)])
        yield pb.ImportCustomersRequest()
        raise LookupError("no more")

    with serving(ImportCustomers=imports) as address:
        responses = connect(address).import_batches(batches())
        assert [len(next(responses).results) for _ in range(2)] == [1, 0]
        with pytest.raises(LookupError, match="no more"):
            next(responses)


def test_export(connect: MakeClient) -> None:
    """An export that breaks off resumes after the last part."""
    tokens = []

    def exports(
        request: pb.ExportCustomersRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ExportCustomersResponse]:
        tokens.append(request.resume_token)
        for number in range(int(request.resume_token or 0), 4):
            if number == len(tokens):
                fail(context, UNAVAILABLE)
            yield pb.ExportCustomersResponse(
                customers=[Customer(id=str(number))],
                resume_token=str(number + 1),
                next_cursor="next",
            )

    with serving(ExportCustomers=exports) as address:
        export = connect(address).export()
        assert [each.id for each in export] == ["0", "1", "2", "3"]
    assert export.cursor == "next"
    assert tokens == ["", "1", "2", "3"]
