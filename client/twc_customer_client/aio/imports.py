"""Imports customers: sends batches, several at a time, and again when the connection breaks."""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from typing import Any

import grpc
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from twc_customer_client.aio.calls import AsyncCalls
from twc_customer_client.aio.runtime import Outbox, Responses, Source, iterate
from twc_customer_client.calls import CallOptions, ended_early
from twc_customer_client.results import ImportResult, import_result
from twc_customer_client.retries import Attempts
from twc_customer_client.rpcs import BATCH_BYTES, BATCH_CUSTOMERS, rpc_of

# Batches without a response, which is all that are in memory.
_WINDOW = 4

_EMPTY = pb.ImportCustomersResponse()
_RPC = rpc_of(pb.ImportCustomersRequest())
_OPTIONS = CallOptions()


async def import_customers(
    calls: AsyncCalls, rpc: Any, customers: Source[Customer], template: pb.ImportCustomersRequest
) -> AsyncGenerator[ImportResult]:
    """Yields the result of each customer, in order. Raises CustomerError."""
    batches = _batches(customers, template)
    async with aclosing(send_batches(calls, rpc, batches)) as responses:
        async for response in responses:
            for result in response.results:
                yield import_result(result)


async def send_batches(
    calls: AsyncCalls, rpc: Any, batches: Source[pb.ImportCustomersRequest]
) -> AsyncGenerator[pb.ImportCustomersResponse]:
    """Yields the response to each batch, in order, an empty one to a batch without items.

    Raises CustomerError, and the error of `batches` after the last response.
    """
    window = _Window(batches)
    attempts = calls.attempts(_RPC, _OPTIONS)
    while await window.fill():
        sent, token = await calls.prepare(attempts, _OPTIONS, None)
        outbox = window.send_all()
        responses = calls.responses(rpc, aiter(outbox), sent)
        try:
            # The first request came before the call: the server ends an idle stream.
            while await window.fill():
                response = await _next(responses, attempts) if window.first.items else _EMPTY
                window.pending.popleft()
                calls.consistency.doubt()
                yield response
            # Every batch has its response: how the stream ends does not matter.
            outbox.end()
            with suppress(grpc.RpcError):
                await responses.next()
            break
        except grpc.RpcError as raised:
            attempts.fail(raised)
        finally:
            outbox.end()
            responses.close()
        await calls.wait(attempts, token)
    window.check()


class _Window:
    """Batches that have no response yet, oldest first."""

    def __init__(self, batches: Source[pb.ImportCustomersRequest]) -> None:
        self.pending: deque[pb.ImportCustomersRequest] = deque()
        self._batches = iterate(batches)
        self._is_over = False
        self._error: Exception | None = None
        self._outbox: Outbox[pb.ImportCustomersRequest] = Outbox()

    @property
    def first(self) -> pb.ImportCustomersRequest:
        """The batch whose response comes next."""
        return self.pending[0]

    async def fill(self) -> bool:
        """Sends batches while there is room; returns whether any is pending."""
        while len(self.pending) < _WINDOW and not self._is_over:
            try:
                batch = await anext(self._batches, None)
            except Exception as error:  # noqa: BLE001 - raised after the last response
                self._error, batch = error, None
            if batch is None:
                self._is_over = True
            else:
                self.pending.append(batch)
                self._send(batch)
        return bool(self.pending)

    def send_all(self) -> Outbox[pb.ImportCustomersRequest]:
        """Returns a new outbox with all that is pending."""
        self._outbox = Outbox()
        for batch in self.pending:
            self._send(batch)
        return self._outbox

    def check(self) -> None:
        """Raises the error of the batches, if there was one."""
        if self._error:
            raise self._error

    def _send(self, batch: pb.ImportCustomersRequest) -> None:
        if batch.items:
            self._outbox.put(batch)


async def _next(
    responses: Responses[pb.ImportCustomersResponse], attempts: Attempts
) -> pb.ImportCustomersResponse:
    response = await responses.next()
    if response is None:
        raise ended_early()
    attempts.succeed()
    return response


async def _batches(
    customers: Source[Customer], template: pb.ImportCustomersRequest
) -> AsyncIterator[pb.ImportCustomersRequest]:
    """Yields customers in batches, numbered from 0."""
    batch, size, number = pb.ImportCustomersRequest(), 0, 0
    batch.CopyFrom(template)
    async for customer in iterate(customers):
        batch.items.add(sequence=number, customer=customer)
        size, number = size + customer.ByteSize(), number + 1
        if len(batch.items) >= BATCH_CUSTOMERS or size >= BATCH_BYTES:
            yield batch
            batch, size = pb.ImportCustomersRequest(), 0
            batch.CopyFrom(template)
    if batch.items:
        yield batch
