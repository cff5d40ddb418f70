"""Batches on their way: several at a time, each until it is answered."""

import queue
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress

import grpc
from twc.customer.v2 import customer_service_pb2 as pb

from twc_customer_client.batches import Batch
from twc_customer_client.connection import Connection, Stream
from twc_customer_client.problems import Problem

# Batches that are on their way at the same time, and all that are in memory.
_WINDOW = 4

Outbox = queue.SimpleQueue[pb.ImportCustomersRequest | None]
Answered = tuple[Batch, pb.ImportCustomersResponse | None]


class _EndedEarlyError(grpc.RpcError):
    """The server ended the stream in good order, and too soon."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        return "the server ended the import before its end"

    def trailing_metadata(self) -> tuple[()]:
        return ()


class Sender:
    """Sends batches, and those that were not answered again when the connection breaks."""

    def __init__(self, connection: Connection, batches: Iterable[Batch]) -> None:
        self._connection = connection
        self._batches = iter(batches)
        self._pending: deque[Batch] = deque()
        self._problem: Problem | None = None

    def answers(self) -> Generator[Answered]:
        """Returns each batch when it is answered, in order; a batch with nothing to send has none.

        Raises Problem: that of the source only after all that came before it was answered.
        """
        while True:
            try:
                yield from self._stream()
                break
            except grpc.RpcError as error:
                self._connection.recover(error)
        if self._problem:
            raise self._problem

    def _stream(self) -> Iterator[Answered]:
        """Sends on one stream, to the end or until it breaks. Raises RpcError."""
        outbox = Outbox()
        for batch in self._pending:
            _send(outbox, batch)
        if not self._fill(outbox):
            return
        # Not before there is something to send: an idle stream is ended by the server.
        call = self._connection.stub.ImportCustomers(
            iter(outbox.get, None), metadata=self._connection.metadata()
        )
        try:
            while self._fill(outbox):
                batch = self._pending[0]
                answer = None
                if batch.request.items and not (answer := self._connection.next_of(call)):
                    raise _EndedEarlyError
                self._pending.popleft()
                yield batch, answer
            self._end(outbox, call)
        finally:
            # Which also ends the thread that sends.
            outbox.put(None)
            call.cancel()

    def _end(
        self,
        outbox: Outbox,
        call: Stream[pb.ImportCustomersResponse],
    ) -> None:
        """Lets the server end the stream in good order; all is answered, whatever it says."""
        outbox.put(None)
        with suppress(grpc.RpcError):
            self._connection.next_of(call)

    def _fill(self, outbox: Outbox) -> bool:
        """Sends what there is room for; tells whether anything is on its way."""
        try:
            while len(self._pending) < _WINDOW and (batch := next(self._batches, None)):
                self._pending.append(batch)
                _send(outbox, batch)
        except Problem as problem:
            self._problem, self._batches = problem, iter(())
        return bool(self._pending)


def _send(outbox: Outbox, batch: Batch) -> None:
    if batch.request.items:
        outbox.put(batch.request)
