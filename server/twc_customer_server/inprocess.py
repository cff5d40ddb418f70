"""The applications that Envoy runs in its own process, `gateway` and `native`, made at import.

Signals tell it what they tell a worker: they are blocked in every thread, Envoy's among them,
but for one that waits for them. Envoy itself ends the process.
"""

import asyncio
import os
import signal
import socket
import sys
import threading
import time
from typing import Any

from twc_customer_server.app import App
from twc_customer_server.inprocess_variables import ADMIN_VARIABLE, METRICS_VARIABLE
from twc_customer_server.process import interpreter
from twc_customer_server.process.signals import (
    ALL_SIGNALS,
    DRAIN_SIGNAL,
    STOP_SIGNALS,
    STOP_WAITING_SIGNAL,
)
from twc_customer_server.settings.model import Settings
from twc_customer_server.storage.database import CannotServeError
from twc_customer_server.telemetry import logs
from twc_customer_server.transport.inprocess import InprocessServer
from twc_customer_server.transport.inprocess_loop import LoopPolicy

# Time in which Envoy sends what it was given.
_SENDING_SECONDS = 0.1

# Commands for Envoy to end connections with their next response, and take no more.
_CLOSE_PORTS = ("/healthcheck/fail", "/drain_listeners")
_ADMIN_SECONDS = 5


class Application:
    """Serves the calls of all of Envoy's listeners by one App, from the first to the last."""

    def __init__(self, settings: Settings) -> None:
        self._app = App(
            settings, [], int(os.environ.get(METRICS_VARIABLE, "-1")), self._make_transport
        )
        self._listeners = 0
        self._is_serving = self._has_drained = self._has_stopped = False
        self._lock = threading.Lock()
        threading.Thread(target=self._control, name="control", daemon=True).start()

    async def gateway(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Takes a call that the gateway makes of a request, or starts and stops."""
        await self._take(self._server.gateway, scope, receive, send)

    async def native(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Takes a call of a native client, or starts and stops."""
        await self._take(self._server.native, scope, receive, send)

    async def _take(self, take_call: Any, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await take_call(scope, receive, send)
            return
        await receive()
        self._start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._stop_listener()
        await send({"type": "lifespan.shutdown.complete"})

    def _start(self) -> None:
        """Opens the database and serves, if this is the first listener.

        Ends the process, as a worker ends, if it cannot.
        """
        with self._lock:
            self._listeners += 1
            if self._listeners > 1:
                return
            try:
                self._app.start()
            except CannotServeError as error:
                sys.stderr.write(f"{error}\n")
                sys.stderr.flush()
                os._exit(1)
            interpreter.spare_collector()
            self._is_serving = True

    def _stop_listener(self) -> None:
        with self._lock:
            self._listeners -= 1
        if not self._listeners:
            self._stop()

    def _stop(self) -> None:
        with self._lock:
            if not self._has_stopped:
                self._app.stop()
                self._has_stopped = True

    def _end(self) -> None:
        """Stops as a worker does, and has Envoy end the process."""
        if not self._is_serving:
            # It may wait for its database, and so long Envoy does nothing.
            os._exit(0)
        try:
            if not self._has_drained:
                # It stops alone, so that clients are to go to other processes.
                _tell_envoy(*_CLOSE_PORTS)
        finally:
            self._stop()
            time.sleep(_SENDING_SECONDS)
            # Unlike a signal, this is no warning in its log.
            _tell_envoy("/quitquitquit")

    def _make_transport(self, *arguments: Any) -> InprocessServer:
        self._server = InprocessServer(*arguments)
        return self._server

    def _control(self) -> None:
        """Does what signals say, until one says that the process is to end."""
        while (received := signal.sigwait(ALL_SIGNALS)) not in STOP_SIGNALS:
            if received == DRAIN_SIGNAL:
                self._has_drained = True
                self._app.drain()
            elif received == STOP_WAITING_SIGNAL:
                self._app.stop_waiting()
        self._end()


def _tell_envoy(*commands: str) -> None:
    """Sends commands to Envoy's administration. Raises OSError if it does not respond."""
    for path in commands:
        with socket.socket(socket.AF_UNIX) as admin:
            admin.settimeout(_ADMIN_SECONDS)
            admin.connect(os.environ[ADMIN_VARIABLE])
            admin.sendall(f"POST {path} HTTP/1.1\r\nhost: envoy\r\n\r\n".encode())
            admin.recv(1)


os.umask(0o077)
_settings = Settings()
logs.configure(_settings.log_level)
interpreter.switch_often()
asyncio.set_event_loop_policy(LoopPolicy())
_application = Application(_settings)
gateway, native = _application.gateway, _application.native
