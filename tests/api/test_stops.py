"""What native clients are told when a server stops."""

import signal
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from twc.customer.v2 import customer_service_pb2 as pb

from tests.support.backends import any_backend
from tests.support.builders import customer
from tests.support.client import SECONDS, Client, Failure, read_failure
from tests.support.concurrency import in_background
from tests.support.server_process import Start, wait_until

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

CLIENTS = 16
# Channels that do not share connections.
OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)


class Creating:
    """A client with a connection of its own that creates customers until nothing listens."""

    def __init__(self, address: str) -> None:
        self.emails: list[str] = []
        self.created: list[str] = []
        self.failures: list[Failure] = []
        self._address = address

    def run(self) -> None:
        """Creates one customer after another."""
        with grpc.insecure_channel(self._address, OWN_CONNECTION) as channel:
            client = Client(channel, "acme")
            while not (self.failures and "connect" in self.failures[-1].message):
                new = customer()
                self.emails.append(new.email)
                try:
                    self.created.append(client.create(new).email)
                except grpc.RpcError as error:
                    self.failures.append(read_failure(error))


@any_backend
def test_calls_at_stop(start: Start) -> None:
    """Calls that come as a server stops are done, or told that they have not begun."""
    for _ in range(2):
        server = start(TENANT_REQUESTS_PER_SECOND="0")
        clients = [Creating(server.address) for _ in range(CLIENTS)]
        creating = in_background([client.run for client in clients])
        wait_until(lambda: sum(len(it.created) for it in clients) > 10 * CLIENTS)  # noqa: B023
        assert server.stop() == 0
        assert [it.exception(SECONDS) for it in creating] == [None] * CLIENTS
        assert "Traceback" not in server.log()
        told = [failure for client in clients for failure in client.failures[:-1]]
        assert {(it.code, it.reason, it.retry) for it in told} <= {
            (grpc.StatusCode.UNAVAILABLE, "SERVICE_UNAVAILABLE", 1)
        }
        assert all("has not begun the call" in it.message for it in told)
        again = start().client("acme")
        for client in clients:
            answered = {*client.created}
            asked = [pb.LookupCustomersRequest(email=it) for it in client.emails]
            stored = {it.email for it in asked if again.lookup(it)}
            assert stored == answered


@any_backend
def test_drain(start: Start, tmp_path_factory: pytest.TempPathFactory) -> None:
    """When the whole service is to stop, native clients are told before the gateway is."""
    address = f"unix:{tmp_path_factory.mktemp('socket') / 'server.sock'}"
    server = start(address, DRAIN_SECONDS="300")
    request = health_pb2.HealthCheckRequest()
    with grpc.insecure_channel(address) as channel:
        gateway: Any = health_pb2_grpc.HealthStub(channel)
        told_native, told_gateway = (it.Watch(request) for it in (server.health, gateway))
        assert (next(told_native).status, next(told_gateway).status) == (SERVING, SERVING)
        server.process.send_signal(signal.SIGUSR1)
        assert next(told_native).status == NOT_SERVING
        assert server.health.Check(request).status == NOT_SERVING
        assert gateway.Check(request).status == SERVING
        for client in (server.client("acme"), Client(channel, "acme")):
            assert client.create(customer()).id
        server.process.send_signal(signal.SIGTERM)
        assert next(told_gateway).status == NOT_SERVING
        # Nobody needs DRAIN_SECONDS once more.
        assert server.process.wait(SECONDS) == 0
