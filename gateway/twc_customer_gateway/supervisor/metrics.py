"""What the workers' calls are counted in, and the process that serves the counts."""

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from twc_customer_gateway.config import GatewaySettings
from twc_customer_gateway.supervisor.processes import Process, Worker, stop
from twc_customer_server.app import bind_metrics_port
from twc_customer_server.contract import SERVICE
from twc_customer_server.telemetry import metrics

_STOP_SECONDS = 5


class Metrics:
    """Memory for each worker's counts and, if METRICS_PORT is set, the process that serves them.

    The memory outlasts the workers: one that is started again counts on.
    """

    def __init__(self, settings: GatewaySettings, admin: Path) -> None:
        """With the counts come Envoy's metrics, from its administration socket."""
        self._settings = settings
        self._admin = admin
        self._held = ExitStack()
        self.memories = [metrics.allocate(SERVICE) for _ in range(settings.workers)]
        for memory in self.memories:
            self._held.callback(os.close, memory)
        self._counts = [metrics.ServiceMetrics(SERVICE, memory) for memory in self.memories]
        self._process: Worker | None = None

    def start(self) -> None:
        """Serves, if it is to. Raises OSError if the port is taken."""
        if not self._settings.metrics_port:
            return
        listener = self._held.enter_context(bind_metrics_port(self._settings))
        inherited = [listener.fileno(), *self.memories]
        arguments = [self._settings.log_level, self._admin, *inherited]
        command = [
            sys.executable,
            "-m",
            "twc_customer_gateway.metrics_process",
            *map(str, arguments),
        ]
        self._process = Worker("metrics", command, {}, inherited)
        self._process.start()

    def tend(self, workers: Sequence[Process]) -> None:
        """Starts the process again if it has ended, and lets go of what dead workers had begun."""
        for worker, counts in zip(workers, self._counts, strict=True):
            if not worker.is_running:
                counts.reset_in_progress()
        if self._process:
            self._process.tend()

    def stop(self) -> None:
        """Serves no more."""
        if self._process:
            stop([self._process], _STOP_SECONDS)
        self._held.close()
