"""Sends batches to the server, several at a time, and again when the connection breaks."""

import queue
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress

import grpc
from twc.customer.v2 import customer_service_pb2 as pb

from twc_customer_client.connection import Connection, ResponseStream
from twc_customer_client.errors import CommandError
from twc_customer_client.importing.batches import Batch

# Batches without a response, which is all that are in memory.
_WINDOW = 4

_Outbox = queue.SimpleQueue[pb.ImportCustomersRequest | None]


class BatchSender:
    """Sends batches on one stream after another until each has its response."""

    def __init__(self, connection: Connection, batches: Iterable[Batch]) -> None:
        self._connection = connection
        self._batches = iter(batches)
        self._pending: deque[Batch] = deque()
        self._source_error: CommandError | None = None

    def responses(self) -> Generator[tuple[Batch, pb.ImportCustomersResponse | None]]:
        """Yields each batch with its response, in order; None for one with nothing to send.

        Raises CommandError: that of `batches` after the last response.
        """
        while True:
            try:
                yield from self._send_on_one_stream()
                break
            except grpc.RpcError as error:
                self._connection.wait_to_retry(error)
        if self._source_error:
            raise self._source_error

    def _send_on_one_stream(self) -> Iterator[tuple[Batch, pb.ImportCustomersResponse | None]]:
        """Sends pending and new batches until none is left. Raises RpcError."""
        outbox = _Outbox()
        for batch in self._pending:
            _put(outbox, batch)
        # The first request comes before the call: the server ends an idle stream.
        if not self._fill_window(outbox):
            return
        stream: ResponseStream[pb.ImportCustomersResponse] | None = None
        try:
            stream = self._connection.open_stream(
                lambda metadata: self._connection.stub.ImportCustomers(
                    iter(outbox.get, None), metadata=metadata
                )
            )
            while self._fill_window(outbox):
                batch = self._pending[0]
                response = self._next_response(stream) if batch.request.items else None
                self._pending.popleft()
                yield batch, response
            # Every batch has its response: how the stream ends does not matter.
            outbox.put(None)
            with suppress(grpc.RpcError):
                self._connection.next_response(stream)
        finally:
            # Ends grpcio's thread that reads the outbox.
            outbox.put(None)
            if stream:
                stream.cancel()

    def _next_response(
        self, stream: ResponseStream[pb.ImportCustomersResponse]
    ) -> pb.ImportCustomersResponse:
        response = self._connection.next_response(stream)
        if response is None:
            raise _StreamEndedEarlyError
        return response

    def _fill_window(self, outbox: _Outbox) -> bool:
        """Sends batches while there is room; returns whether any is pending."""
        try:
            while len(self._pending) < _WINDOW and (batch := next(self._batches, None)):
                self._pending.append(batch)
                _put(outbox, batch)
        except CommandError as error:
            self._source_error, self._batches = error, iter(())
        return bool(self._pending)


class _StreamEndedEarlyError(grpc.RpcError):
    """Reports a stream that the server ended with OK before its last response."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        return "the server ended the stream before its last response"

    def trailing_metadata(self) -> tuple[()]:
        return ()


def _put(outbox: _Outbox, batch: Batch) -> None:
    if batch.request.items:
        outbox.put(batch.request)
