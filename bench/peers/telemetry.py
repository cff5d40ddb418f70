"""Authenticates the requests of peers, and writes a log line and a metric for each."""

import functools
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from prometheus_client import Histogram
from uuid_utils import uuid4

from twc_customer_server.app import authenticator
from twc_customer_server.settings.model import Settings

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# The server's log redacts messages of loggers with other names.
_log = logging.getLogger("twc_customer_server.peer")

_SECONDS = Histogram(
    "http_request_duration_seconds", "Duration of requests.", ("method", "route", "status")
)

_CREDENTIALS = {b"authorization": "authorization", b"x-twc-tenant": "x-twc-tenant"}


class Authentication:
    """Authenticates requests as the service does, with its settings."""

    def __init__(self) -> None:
        """Raises the errors of `Settings` for the environment."""
        self._settings = Settings()
        self._authenticator = authenticator(self._settings)

    def tenant(self, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """Returns the tenant of a request by its ASGI headers. Raises the errors of the service."""
        metadata = [
            (_CREDENTIALS[name], value.decode("latin-1"))
            for name, value in headers
            if name in _CREDENTIALS
        ]
        return self._authenticator.authenticate(metadata).tenant

    def region(self, tenant: str) -> str | None:
        """Returns the region in which a tenant's national phone numbers are read."""
        return self._settings.region(tenant)


@functools.cache
def _series(method: str, route: str, status: int) -> Any:
    """Returns a time series of the histogram; the cache is faster than its own lookup."""
    return _SECONDS.labels(method, route, str(status))


def record_request(  # noqa: PLR0913, PLR0917 - the fields of the log line
    started: float, request_id: str, tenant: str, method: str, route: str, status: int
) -> None:
    """Logs and counts a request that started at a time of `time.perf_counter`."""
    seconds = time.perf_counter() - started
    _series(method, route, status).observe(seconds)
    if _log.isEnabledFor(logging.INFO):
        fields = {
            "request_id": request_id or str(uuid4()),
            "tenant": tenant,
            "method": method,
            "route": route,
            "status": status,
            "milliseconds": round(seconds * 1000, 3),
        }
        _log.info("call", extra=fields)


class Telemetry:
    """ASGI middleware that records every request."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Calls the application, and records the request after the response."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def send_and_observe(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_and_observe)
        finally:
            tenant = scope.get("state", {}).get("tenant", "")
            record_request(
                started, _request_id(scope), tenant, scope["method"], _route(scope), status
            )


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            return str(value.decode("latin-1"))
    return ""


def _route(scope: Scope) -> str:
    """Returns the route's path as declared, which FastAPI and Litestar put in the scope."""
    if "path_template" in scope:
        return str(scope["path_template"])
    return str(getattr(scope.get("route"), "path", ""))
