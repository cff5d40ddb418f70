"""Memory in which workers count RPCs, and the exporter process that serves the counts."""

import os
import socket
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack

from twc_customer_gateway.supervisor.processes import Process, RestartedProcess, stop
from twc_customer_gateway.supervisor.stack_settings import StackSettings


class SharedMetrics:
    """One piece of memory for each worker, which outlasts it: a restarted one adds to its counts.

    `serve` starts the exporter.
    """

    def __init__(self, settings: StackSettings) -> None:
        self._settings = settings
        self._held = ExitStack()
        # File descriptors, which workers and exporter inherit.
        self.memories = [self._allocate() for _ in settings.worker_sockets]
        self._exporter: RestartedProcess | None = None

    def serve(self, listener: socket.socket) -> None:
        """Starts the exporter, which answers on a socket that listens."""
        inherited = [listener.fileno(), *self.memories]
        arguments = [
            self._settings.log_level,
            str(listener.fileno()),
            *(f"--admin={admin_socket}" for admin_socket in self._settings.admin_sockets),
            *(f"--memory={memory}" for memory in self.memories),
        ]
        command = [sys.executable, "-m", "twc_customer_gateway.metrics_exporter", *arguments]
        self._exporter = RestartedProcess("metrics-exporter", command, {}, inherited)
        self._exporter.start()

    def restart_ended(self) -> None:
        """Restarts the exporter if it has ended."""
        if self._exporter:
            self._exporter.restart_if_ended()

    def clear_ended(self, workers: Sequence[Process]) -> None:
        """Sets the calls in progress of workers that have ended to none."""
        for worker, memory in zip(workers, self.memories, strict=True):
            if not worker.is_running:
                for offset in self._settings.gauge_offsets:
                    os.pwrite(memory, bytes(8), offset)

    def stop(self, seconds: float) -> None:
        """Stops the exporter, in a time at most, and frees the memory."""
        if self._exporter:
            stop([self._exporter], seconds)
        self._held.close()

    def _allocate(self) -> int:
        if sys.platform == "linux":
            memory = os.memfd_create("metrics")
        else:
            with tempfile.TemporaryFile() as file:
                memory = os.dup(file.fileno())
        self._held.callback(os.close, memory)
        os.truncate(memory, self._settings.metrics_bytes)
        return memory
