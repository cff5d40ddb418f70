"""The server inside Envoy, as a process beside the tests, which looks like one in theirs."""

import tempfile
from pathlib import Path
from typing import Any

import grpc

from tests.support.in_process import InProcessServer
from tests.support.tokens import trust
from twc_customer_gateway import config
from twc_customer_gateway.settings import GatewaySettings
from twc_customer_gateway.supervisor.stack import Stack


class ServerInsideEnvoy(InProcessServer):
    """A service with the server inside Envoy, from its construction to `stop`.

    Its clients use the native port. `settings` are the service's, and the database among them.
    """

    def __init__(self, **settings: Any) -> None:
        own: dict[str, Any] = {
            "gateway_port": 0,
            "grpc_port": 0,
            "drain_seconds": 0,
            "serve": "inprocess",
        }
        chosen = GatewaySettings(**own | trust() | settings)
        self._folder = tempfile.TemporaryDirectory(prefix="twc-")
        folder = Path(self._folder.name)
        config.write_all(chosen, folder)
        self.stack = Stack(folder, chosen.environment())
        self.stack.__enter__()
        self.address = self.stack.settings.native_address
        self.gateway_address = f"unix:{self.stack.settings.worker_sockets[0]}"
        self.channel = grpc.insecure_channel(self.address)

    def end(self) -> None:
        """Stops the server."""
        self.stack.__exit__()
        self._folder.cleanup()
