"""Who calls, and what is told of each request: a line in the log, and a metric."""

import functools
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from prometheus_client import Histogram
from uuid_utils import uuid4

from twc_customer_server.app import authenticator
from twc_customer_server.settings import Settings

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# Under a name of the server's, whose log withholds what others say.
_log = logging.getLogger("server.peer")

_SECONDS = Histogram(
    "http_request_duration_seconds", "Time that requests took.", ("method", "route", "status")
)

_IDENTITY = {b"authorization": "authorization", b"x-twc-tenant": "x-twc-tenant"}


class Identity:
    """Finds out, as the service does, for which tenant a request may act."""

    def __init__(self, settings: Settings) -> None:
        self._authenticator = authenticator(settings)

    def tenant(self, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """The tenant of a request by its headers as ASGI has them. Raises as `authenticate`."""
        return self._authenticator.authenticate(
            (_IDENTITY[name], value.decode("latin-1"))
            for name, value in headers
            if name in _IDENTITY
        )


@functools.cache
def _seconds(method: str, route: str, status: int) -> Any:
    """The one series of a histogram; to look it up there takes longer."""
    return _SECONDS.labels(method, route, str(status))


def account(  # noqa: PLR0913, PLR0917 - what there is to tell
    started: float, request_id: str, tenant: str, method: str, route: str, status: int
) -> None:
    """Tells of a request that began at a time of `time.perf_counter`."""
    seconds = time.perf_counter() - started
    _seconds(method, route, status).observe(seconds)
    if _log.isEnabledFor(logging.INFO):
        facts = {
            "request_id": request_id or str(uuid4()),
            "tenant": tenant,
            "method": method,
            "route": route,
            "status": status,
            "milliseconds": round(seconds * 1000, 3),
        }
        _log.info("call", extra=facts)


class Telemetry:
    """ASGI middleware that accounts for every request."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, and accounts for it when it is answered."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def observed(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, observed)
        finally:
            tenant = scope.get("state", {}).get("tenant", "")
            account(started, _request_id(scope), tenant, scope["method"], _route(scope), status)


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            return str(value.decode("latin-1"))
    return ""


def _route(scope: Scope) -> str:
    """The path that was declared, where FastAPI or Litestar leaves it."""
    if "path_template" in scope:
        return str(scope["path_template"])
    return str(getattr(scope.get("route"), "path", ""))
