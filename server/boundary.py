"""What surrounds every RPC: whose call it is, and how its failure is told.

The servicer is written against `Call`. `guard` makes of it an object whose
methods have gRPC's signature, so that each call passes here whichever way it
is served.
"""

import logging
import re
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any, NoReturn, TypeVar

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_status import rpc_status

from server.errors import Internal, InvalidTenant, ServiceError, to_status

TENANT_HEADER = "x-twc-tenant"
STATUS_HEADER = "x-http-code"

_TENANT = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII).fullmatch

_log = logging.getLogger(__name__)

T = TypeVar("T")


# How long after the end of a stream it may turn out to have been a break.
_BREAK_SECONDS = 0.02


class _BrokenOff(Exception):
    """The client ended the call before its stream of messages was complete."""


class Call:
    """One RPC as the servicer sees it: the tenant it acts for, and the headers of its answer."""

    __slots__ = ("_context", "tenant")

    def __init__(self, tenant: str, context: grpc.ServicerContext) -> None:
        self.tenant = tenant
        self._context = context

    def answer(self, http_status: int, *headers: tuple[str, str]) -> None:
        """Sends headers ahead of the answer, and the HTTP status that the gateway gives it."""
        self._context.send_initial_metadata(((STATUS_HEADER, str(http_status)), *headers))


def guard(servicer: object, service: ServiceDescriptor) -> SimpleNamespace:
    """Surrounds every RPC of a service; a servicer that lacks one is refused here."""
    return SimpleNamespace(
        **{
            method.name: (_stream if method.server_streaming else _unary)(
                method.name, getattr(servicer, method.name)
            )
            for method in service.methods
        }
    )


def _unary(rpc: str, behaviour: Callable[[Any, Call], T]) -> Callable[..., T]:
    def handle(request: Any, context: grpc.ServicerContext) -> T:
        try:
            call = Call(_tenant(context), context)
            return behaviour(_readable(request), call)
        except Exception as error:  # noqa: BLE001 - every failure has a status
            _abort(rpc, context, error)

    return handle


def _stream(rpc: str, behaviour: Callable[[Any, Call], Iterable[T]]) -> Callable[..., Iterator[T]]:
    def handle(request: Any, context: grpc.ServicerContext) -> Iterator[T]:
        try:
            call = Call(_tenant(context), context)
            is_stream = hasattr(request, "__next__")
            given = _whole(request, context) if is_stream else _readable(request)
            yield from behaviour(given, call)
        except Exception as error:  # noqa: BLE001 - every failure has a status
            _abort(rpc, context, error)

    return handle


def _tenant(context: grpc.ServicerContext) -> str:
    """The tenant that a call acts for. Raises InvalidTenant."""
    names = [str(value) for key, value in context.invocation_metadata() if key == TENANT_HEADER]
    if not names:
        raise InvalidTenant("the header X-TWC-Tenant is required: it names the tenant")
    if len(names) > 1 or not _TENANT(names[0]):
        raise InvalidTenant(
            "the header X-TWC-Tenant must be one name of 1 to 64 letters, digits, '.', '_' or '-'"
        )
    return names[0]


def _readable(request: T) -> T:
    """Passes a message on; raises what the deserializer put in the place of one."""
    if isinstance(request, ServiceError):
        raise request
    return request


def _whole(requests: Iterator[T], context: grpc.ServicerContext) -> Iterator[T]:
    """Passes on a stream of messages; raises at its end if it did not end but break off.

    grpcio first reports both alike, and a moment later that a broken call is
    over: that moment is waited for.
    """
    over = threading.Event()
    is_over = not context.add_callback(over.set)
    yield from map(_readable, requests)
    if is_over or over.wait(_BREAK_SECONDS):
        raise _BrokenOff


def _abort(rpc: str, context: grpc.ServicerContext, error: Exception) -> NoReturn:
    """Ends the call with the status of an error; hides and logs what is not for clients."""
    if isinstance(error, (grpc.RpcError, _BrokenOff)):
        context.abort(grpc.StatusCode.CANCELLED, "the call was broken off")
    if not isinstance(error, ServiceError):
        # Messages of unforeseen errors may hold personal data; their places do not.
        places = "".join(traceback.format_tb(error.__traceback__))
        _log.error("%s failed with %s\n%s", rpc, type(error).__name__, places)
        error = Internal()
    status = rpc_status.to_status(to_status(error))
    context.set_trailing_metadata(status.trailing_metadata)
    context.abort(status.code, status.details)
