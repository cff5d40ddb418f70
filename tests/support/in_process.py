"""The server in the process of the tests, which starts in no time."""

import tempfile
from typing import Any, Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.client import SECONDS, Client
from tests.support.tokens import trust
from twc_customer_server.app import App
from twc_customer_server.settings.model import Settings


class InProcessServer:
    """A server on a port of its own, from its construction to `stop` or the end of a `with` block.

    `settings` are the service's, and the database among them. `address` is for native clients,
    `gateway_address` for the gateway's own calls.
    """

    def __init__(self, **settings: Any) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="twc-")
        self.gateway_address = f"unix:{self._folder.name}/server.sock"
        self.app = App(Settings(**trust() | settings), ["127.0.0.1:0", self.gateway_address])
        self.app.start()
        self.address = f"127.0.0.1:{self.app.ports[0]}"
        self.channel = grpc.insecure_channel(self.address)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def is_healthy(self) -> bool:
        """Tells whether the server says that it serves."""
        stub: Any = health_pb2_grpc.HealthStub(self.channel)
        answer = stub.Check(health_pb2.HealthCheckRequest(), SECONDS)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def client(self, tenant: str) -> Client:
        """A client of the server for a tenant."""
        return Client(self.channel, tenant)

    def stop(self) -> None:
        """Closes the channel and stops the server."""
        self.channel.close()
        self.end()

    def end(self) -> None:
        """Stops the server."""
        self.app.stop()
        self._folder.cleanup()
