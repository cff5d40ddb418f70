"""What surrounds every RPC: whose call it is, how its failure is told, and that it is counted.

The servicer is written against `Call`. `guard` makes of it an object whose
methods have gRPC's signature, so that each call passes here whichever way it
is served.
"""

import logging
import re
import threading
import time
import traceback
from collections.abc import (
    Callable,
    Collection,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import closing
from functools import partial
from types import SimpleNamespace, TracebackType
from typing import Any, Self, TypeVar

import grpc
from grpc_status import rpc_status

from twc_customer_server.auth.authenticator import Callers
from twc_customer_server.errors import (
    CHALLENGE,
    RETRY_SECONDS,
    Internal,
    NoCredentials,
    Overloaded,
    ServiceError,
    Unauthenticated,
    Unavailable,
    to_status,
)
from twc_customer_server.middleware import streams
from twc_customer_server.telemetry.access_log import Account, EndedCall
from twc_customer_server.telemetry.metrics import Counts, Meter

# Names the HTTP status of an answer, where that is not the usual one.
STATUS_HEADER = "x-http-code"
OK = 200

_is_request_id = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII).fullmatch

_log = logging.getLogger(__name__)

T = TypeVar("T")

# What makes of a call's request, or of its stream of them, what the servicer is given.
Reader = Callable[[Any, grpc.ServicerContext], Any]

# Metadata as gRPC has it.
Metadata = Sequence[tuple[str, str | bytes]]

# The headers of a request by their names.
Headers = Mapping[str, str]

# Takes the metadata of an answer.
Send = Callable[[tuple[tuple[str, str], ...]], None]

Begin = Callable[[grpc.ServicerContext], "_Served"]


class Call:
    """One RPC as the servicer sees it: the tenant it acts for, and the metadata of its answer."""

    __slots__ = ("_headers", "_send", "tenant")

    def __init__(self, tenant: str, headers: Headers, send: Send) -> None:
        self.tenant = tenant
        self._headers = headers
        self._send = send

    def header(self, name: str) -> str | None:
        """A header of the request by its name in lower case; several are one list (RFC 9110)."""
        return self._headers.get(name)

    def answer(self, http_status: int, *metadata: tuple[str, str]) -> None:
        """Gives the answer its metadata, and the HTTP status that the gateway makes of it."""
        self._send(
            ((STATUS_HEADER, str(http_status)), *metadata) if http_status != OK else metadata
        )


def guard(  # noqa: PLR0913 - here all meet that a call passes
    servicer: object,
    counts: Counts,
    callers: Callers,
    max_streams: int = 1,
    endless: Collection[str] = (),
    *,
    account: Account = lambda _: None,
) -> SimpleNamespace:
    """Surrounds every RPC of a service, and counts; a servicer that lacks one is refused here.

    `account` is told of every call when it is over. Those that are `endless` go
    on for as long as there is something to send. At most `max_streams` clients
    may send a stream, or call an endless RPC, at the same time: each holds a
    thread for as long as it pleases.
    """
    room = threading.BoundedSemaphore(max_streams)
    guarded = {}
    for method in counts.service.methods:
        behaviour = getattr(servicer, method.name)
        is_endless = method.name in endless
        read: Reader = streams.readable
        if method.client_streaming:
            read = streams.flowing if is_endless else streams.whole
        if method.client_streaming or is_endless:
            behaviour = streams.bounded(behaviour, room)
        surround: Callable[..., Callable[..., Any]] = _unary
        if method.server_streaming:
            surround = _endless if is_endless else _stream
        begin = partial(_Served, counts.meters[method.name], account)
        guarded[method.name] = surround(begin, behaviour, callers, read)
    return SimpleNamespace(**guarded)


def _unary(
    begin: Begin, behaviour: Callable[[Any, Call], T], callers: Callers, read: Reader
) -> Callable[..., T]:
    def handle(request: Any, context: grpc.ServicerContext) -> T:
        with begin(context) as served:
            # What goes with the status costs less than a message of its own.
            call = served.admit(callers, context.set_trailing_metadata)
            return behaviour(read(request, context), call)

    return handle


def _stream(
    begin: Begin, behaviour: Callable[[Any, Call], Iterable[T]], callers: Callers, read: Reader
) -> Callable[..., Generator[T]]:
    def handle(request: Any, context: grpc.ServicerContext) -> Generator[T]:
        with begin(context) as served:
            call = served.admit(callers, context.send_initial_metadata)
            yield from behaviour(read(request, context), call)

    return handle


def _endless(
    begin: Begin, behaviour: Callable[[Any, Call], Iterable[T]], callers: Callers, read: Reader
) -> Callable[..., Iterator[T]]:
    """As `_stream`, for a client that takes each answer in time."""
    handle = _stream(begin, behaviour, callers, read)

    def handle_patiently(request: Any, context: grpc.ServicerContext) -> Iterator[T]:
        with closing(handle(request, context)) as answers:
            for answer in answers:
                with streams.patience(context):
                    yield answer

    return handle_patiently


class _Served:
    """A call while it is served; its error becomes its status, and then account is given."""

    __slots__ = ("_context", "_headers", "_meter", "_started", "_tell", "_tenant")

    def __init__(self, meter: Meter, account: Account, context: grpc.ServicerContext) -> None:
        self._meter = meter
        self._tell = account
        self._context = context
        self._headers = _headers(context.invocation_metadata())
        self._tenant = ""
        self._started = time.perf_counter()

    def __enter__(self) -> Self:
        self._meter.begin()
        return self

    def admit(self, callers: Callers, send: Send) -> Call:
        """Finds out whose call it is. Raises what `Callers.tenant` does."""
        self._tenant = callers.tenant(self._context.invocation_metadata())
        return Call(self._tenant, self._headers, send)

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._account("OK")
        elif isinstance(error, (grpc.RpcError, streams.BrokenOff)):
            self._account("CANCELLED")
            self._context.abort(grpc.StatusCode.CANCELLED, "the call was broken off")
        elif isinstance(error, Exception):
            self._fail(error)
        else:
            # The client wants no more of a stream, and its generator is closed.
            self._account("CANCELLED")

    def _fail(self, error: Exception) -> None:
        """Ends the call with the status of an error; hides and logs what is not for clients."""
        if not isinstance(error, ServiceError):
            # Its message may hold personal data; the places it came by do not.
            facts = {
                "request_id": self._request_id(),
                "tenant": self._tenant,
                "rpc": self._meter.rpc,
                "places": traceback.format_tb(error.__traceback__),
            }
            _log.error("%s failed with %s", self._meter.rpc, type(error).__name__, extra=facts)
            error = Internal()
        status = rpc_status.to_status(to_status(error))
        self._account(status.code.name)
        self._context.set_trailing_metadata((*status.trailing_metadata, *_advice(error)))
        self._context.abort(status.code, status.details)

    def _account(self, code: str) -> None:
        seconds = time.perf_counter() - self._started
        request_id = self._request_id()
        self._meter.end(code, seconds)
        self._tell(EndedCall(self._meter.rpc, code, self._tenant, request_id, time.time(), seconds))

    def _request_id(self) -> str:
        given = self._headers.get("x-request-id")
        return given if given and _is_request_id(given) else ""


def _headers(metadata: Metadata) -> Headers:
    """Headers by their names; several of one name are one list (RFC 9110, section 5.3)."""
    headers: dict[str, Any] = dict(metadata)
    if len(headers) < len(metadata):
        for name in headers:
            headers[name] = ", ".join(str(value) for key, value in metadata if key == name)
    return headers


def _advice(error: ServiceError) -> tuple[tuple[str, str], ...]:
    """What HTTP says of an error in a header: how to authenticate, and when to try again.

    RFC 6750, section 3, and RFC 9110, section 10.2.3.
    """
    if isinstance(error, (Overloaded, Unavailable)):
        return (("retry-after", str(RETRY_SECONDS)),)
    if not isinstance(error, Unauthenticated):
        return ()
    challenge = CHALLENGE
    if not isinstance(error, NoCredentials):
        challenge += f', error="invalid_token", error_description="{error}"'
    return (("www-authenticate", challenge),)
