"""The standard reflection service, on threads of its own."""

import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

from grpc_reflection.v1alpha import reflection

from twc_customer_server.errors import Overloaded
from twc_customer_server.middleware.streams import cancel_after
from twc_customer_server.transport.calls import refuse
from twc_customer_server.transport.executor import Executor
from twc_customer_server.transport.incoming import IncomingCall

MAX_STREAMS = 2
STREAM_SECONDS = 10

TOO_MANY_STREAMS = f"the server has {MAX_STREAMS} streams of reflection, the most that it may"


class Reflection(reflection.ReflectionServicer):
    """Serves few streams at a time, each for some seconds, since each occupies a thread."""

    def __init__(self, *services: str) -> None:
        """Serves the contracts of services, beside its own."""
        super().__init__((*services, reflection.SERVICE_NAME))
        self._executor = Executor(MAX_STREAMS, "reflection")
        self._places = threading.BoundedSemaphore(MAX_STREAMS)

    def ServerReflectionInfo(self, request_iterator: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        """Yields responses until the client has no more requests, or its time is over."""
        with cancel_after(context, STREAM_SECONDS):
            yield from super().ServerReflectionInfo(request_iterator, context)

    def accept(self, incoming: IncomingCall) -> None:
        """Takes a call from grpcio."""
        if self._places.acquire(blocking=False):
            self._executor.submit("reflection", partial(self._run, incoming))
        else:
            incoming.run_with(refuse, Overloaded(TOO_MANY_STREAMS))

    def stop(self) -> None:
        """Ends the threads after the streams that run."""
        self._executor.stop()

    def _run(self, incoming: IncomingCall) -> None:
        try:
            incoming.run_stream(self.ServerReflectionInfo)
        finally:
            self._places.release()
