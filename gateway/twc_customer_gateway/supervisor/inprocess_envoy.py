"""An Envoy that has the server inside: told what to do as a worker is, though not by signals."""

import os
import signal
from collections.abc import Mapping, Sequence

from twc_customer_gateway.supervisor.envoy_process import EnvoyProcess
from twc_customer_server.inprocess_control import CONTROL_VARIABLE, METRICS_VARIABLE


class InprocessEnvoy(EnvoyProcess):
    """An Envoy with Python inside, which reads the numbers of signals from a pipe.

    SIGTERM itself is Envoy's, which would cut the calls that run.
    """

    # Threads of Python may keep Envoy's from its core.
    closing_seconds = 0.5

    def __init__(  # noqa: PLR0913, PLR0917 - what a worker and an Envoy have
        self,
        name: str,
        command: Sequence[str],
        admin_socket: str,
        environment: Mapping[str, str],
        memory: int,
        core: int | None,
        start_seconds: float,
    ) -> None:
        """`memory` is the file descriptor of the memory in which it counts RPCs.

        It imports the server, and waits for the database, before it responds.
        """
        self.start_seconds = start_seconds
        reading, self._writing = os.pipe()
        self._pipe = (reading, self._writing)
        os.set_blocking(self._writing, False)
        variables = {CONTROL_VARIABLE: str(reading), METRICS_VARIABLE: str(memory)}
        super().__init__(
            name, command, admin_socket, {**environment, **variables}, [reading, memory], core
        )

    def send(self, number: signal.Signals) -> None:
        """Tells it the number of a signal if it runs."""
        if self.is_running:
            os.write(self._writing, bytes([number]))

    def close(self) -> None:
        """Closes the pipe; the process must have ended."""
        for descriptor in self._pipe:
            os.close(descriptor)
