"""The applications that Envoy runs in its own process, `gateway` and `native`, made at import.

The supervisor tells it what to do by a pipe, a signal's number in each byte, since signals
are Envoy's. Envoy itself ends the process.
"""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from twc_customer_server.app import App
from twc_customer_server.inprocess_control import CONTROL_VARIABLE, METRICS_VARIABLE
from twc_customer_server.process import interpreter
from twc_customer_server.process.signals import DRAIN_SIGNAL, STOP_WAITING_SIGNAL
from twc_customer_server.settings.model import Settings
from twc_customer_server.storage.database import CannotServeError
from twc_customer_server.telemetry import logs
from twc_customer_server.transport.inprocess import InprocessServer
from twc_customer_server.transport.inprocess_loop import LoopPolicy

Action = Callable[[], None]

# Time in which Envoy sends what it was given.
_SENDING_SECONDS = 0.1


class Application:
    """Serves the calls of all of Envoy's listeners by one App, from the first to the last."""

    def __init__(self, settings: Settings) -> None:
        self._app = App(
            settings, [], int(os.environ.get(METRICS_VARIABLE, "-1")), self._make_transport
        )
        self._listeners = 0
        self._has_stopped = False
        self._lock = threading.Lock()

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
            threading.Thread(target=self._control, name="control", daemon=True).start()

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
        """Stops as a worker does, and ends the process."""
        self._stop()
        time.sleep(_SENDING_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    def _make_transport(self, *arguments: Any) -> InprocessServer:
        self._server = InprocessServer(*arguments)
        return self._server

    def _control(self) -> None:
        """Does what the supervisor says, until it is gone."""
        descriptor = int(os.environ.get(CONTROL_VARIABLE, "-1"))
        actions: dict[int, Action] = {
            DRAIN_SIGNAL: self._app.drain,
            STOP_WAITING_SIGNAL: self._app.stop_waiting,
            signal.SIGTERM: self._end,
        }
        while descriptor >= 0 and (received := os.read(descriptor, 1)):
            if action := actions.get(received[0]):
                action()


os.umask(0o077)
_settings = Settings()
logs.configure(_settings.log_level)
interpreter.switch_often()
asyncio.set_event_loop_policy(LoopPolicy())
_application = Application(_settings)
gateway, native = _application.gateway, _application.native
