"""An Envoy that has the server inside, and is told what to do by the signals of a worker."""

import signal
from collections.abc import Mapping, Sequence

from twc_customer_gateway.supervisor.envoy_process import EnvoyProcess
from twc_customer_server.inprocess_variables import ADMIN_VARIABLE, METRICS_VARIABLE
from twc_customer_server.process.signals import ALL_SIGNALS


class InprocessEnvoy(EnvoyProcess):
    """An Envoy with Python inside, where a thread of the server waits for signals.

    Envoy itself would cut the calls that run at a SIGTERM.
    """

    # A file that may not grow is an error of who writes it: Python, where the process is its own,
    # ignores the signal.
    blocked_signals = (*ALL_SIGNALS, signal.SIGXFSZ)

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
        own = {METRICS_VARIABLE: str(memory), ADMIN_VARIABLE: admin_socket}
        super().__init__(name, command, admin_socket, {**environment, **own}, [memory], core)
