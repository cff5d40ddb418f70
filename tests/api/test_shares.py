"""What one tenant may use of a server, and what is left for the others."""

import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer
from twc.customer.v2.customer_service_pb2_grpc import CustomerServiceStub

from tests.support.backends import Backend, any_backend, each_backend
from tests.support.builders import UNKNOWN_ID, customer
from tests.support.client import (
    SECONDS,
    SERVICE,
    Failure,
    Metadata,
    as_tenant,
    failure,
    read_failure,
    tenant_header,
)
from tests.support.concurrency import in_background
from tests.support.http2 import RESET, Http2
from tests.support.import_stream import ImportStream, batch, outcomes
from tests.support.in_process import InProcessServer
from tests.support.issuers import IssuerSite, response
from tests.support.ports import held_port
from tests.support.scraping import Scrape
from tests.support.server_process import wait_until
from tests.support.servers import Server, of_grpcio
from tests.support.tokens import Issuer, jwks
from twc_customer_server.transport import incoming, places, untaken

Held = Callable[[], AbstractContextManager[None]]


class Served(Server):  # type: ignore[misc, valid-type]
    """A server with metrics, to which the tenants `acme` and `other` have made a call."""

    def __init__(self, metrics_port: int, **settings: Any) -> None:
        super().__init__(metrics_port=metrics_port, **settings)
        self._metrics_port = metrics_port
        self.uses_postgres = "database_url" in settings
        self.acme, self.other = self.client("acme"), self.client("other")
        for client in (self.acme, self.other):
            client.get(UNKNOWN_ID)

    def wait_in_progress(self, rpc: str, number: int) -> None:
        """Waits until threads run so many calls of an RPC."""
        wait_until(lambda: Scrape(self._metrics_port).in_progress(rpc) == number)

    def admitted(self, kind: str) -> int:
        """The number of calls of a kind that are admitted now."""
        return int(Scrape(self._metrics_port).value("twc_customer_admitted_calls", kind=kind) or 0)

    def refused(self, rpc: str) -> int:
        """The number of calls of an RPC that were refused as too much."""
        return int(Scrape(self._metrics_port).calls(rpc, "ResourceExhausted") or 0)


Serve = Callable[..., Served]


@pytest.fixture
def serve(own_database: dict[str, Any]) -> Iterator[Serve]:
    """Serves the test's database in this process."""
    with ExitStack() as started:

        def serve_one(**settings: Any) -> Served:
            port = started.enter_context(held_port())
            served: Served = started.enter_context(Served(port, **own_database, **settings))
            return served

        yield serve_one


@pytest.fixture
def held(own_database: dict[str, Any], backend: Backend) -> Held:
    """Keeps everyone from writing to the test's database."""
    return partial(backend.held, own_database)


def assert_limited(failed: Failure, said: str) -> None:
    """Asserts that a call was refused as too much, with a reason and when to try again."""
    assert (failed.code, failed.reason, failed.domain, failed.retry) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "RATE_LIMITED",
        "customer.twc",
        1,
    )
    assert said in failed.message


def is_admitted(call: Callable[[], object]) -> bool:
    """Makes a call, which may be refused as too much; tells whether it was not."""
    try:
        call()
    except grpc.RpcError as error:
        assert_limited(read_failure(error), "")
        return False
    return True


@each_backend
def test_threads(serve: Serve, held: Held) -> None:
    """However many calls of a tenant wait for the database, others have threads.

    On SQLite as many more of them wait for their commit.
    """
    server = serve(threads=4)
    running = 2 if server.uses_postgres else 2 + 4
    with held():
        creates = in_background([partial(server.acme.create, customer()) for _ in range(10)])
        server.wait_in_progress("CreateCustomer", running)
        assert server.other.get(UNKNOWN_ID) == Customer()
        server.wait_in_progress("CreateCustomer", running)
    assert [it.exception(SECONDS) for it in creates] == [None] * 10


@any_backend
def test_concurrent_calls(serve: Serve, held: Held) -> None:
    """A tenant with all its calls is refused at once; others are served, and it is afterwards."""
    server = serve(tenant_concurrent_calls=2)
    with held():
        creates = in_background([partial(server.acme.create, customer()) for _ in range(2)])
        server.wait_in_progress("CreateCustomer", 2)
        failed = failure(lambda: server.acme.get(UNKNOWN_ID))
        assert_limited(failed, "a tenant may have 2; try again when one has ended")
        assert server.other.get(UNKNOWN_ID) == Customer()
    assert [it.exception(SECONDS) for it in creates] == [None] * 2
    wait_until(lambda: is_admitted(lambda: server.acme.get(UNKNOWN_ID)))
    assert server.refused("GetCustomer") >= 1


@any_backend
def test_health_of_busy_server(serve: Serve, held: Held) -> None:
    """A server whose threads are all busy, and that takes no more calls, is healthy still."""
    server = serve(threads=1, max_concurrent_rpcs=1)
    with held():
        [create] = in_background([partial(server.acme.create, customer())])
        server.wait_in_progress("CreateCustomer", 1)
        [refused] = in_background([lambda: failure(lambda: server.other.get(UNKNOWN_ID))])
        assert server.is_healthy()
    assert create.exception(SECONDS) is None
    assert_limited(refused.result(SECONDS), "as many calls as it can")


@each_backend
@pytest.mark.parametrize("threads", [1, 2])
def test_few_threads(serve: Serve, held: Held, threads: int) -> None:
    """However few threads there are, a tenant with an import and a call leaves one to others."""
    server = serve(threads=threads)
    idle = ImportStream(server.acme)
    assert outcomes(idle.send(customer())) == ["created"]
    with held():
        [create] = in_background([partial(server.acme.create, customer())])
        server.wait_in_progress("CreateCustomer", 1)
        assert server.other.get(UNKNOWN_ID) == Customer()
    assert create.exception(SECONDS) is None
    idle.end()
    assert list(idle.call) == []


@any_backend
def test_streams(serve: Serve) -> None:
    """A tenant's idle imports leave places for those of others."""
    server = serve(threads=8)
    idle = [ImportStream(server.acme) for _ in range(2)]
    for stream in idle:
        assert outcomes(stream.send(customer())) == ["created"]
    for refused in (lambda: server.acme.upload([customer()]), lambda: [*server.acme.export()]):
        assert_limited(failure(refused), "a tenant may have 2; try again when one has ended")
    own = ImportStream(server.other)
    assert outcomes(own.send(customer())) == ["created"]
    assert [it.HasField("customer") for it in server.other.upload([customer()])] == [True]
    assert server.acme.get(UNKNOWN_ID) == Customer()
    for stream in (*idle, own):
        stream.end()
        assert list(stream.call) == []
    wait_until(lambda: is_admitted(lambda: [*server.acme.export()]))


@any_backend
def test_streams_one_after_another(serve: Serve) -> None:
    """A stream has left its place when its client learns that it has ended."""
    server = serve(threads=2)
    for _ in range(100):
        assert [it.HasField("customer") for it in server.acme.upload([customer()])] == [True]
        assert len([*server.acme.export()]) == 1


@any_backend
def test_streams_of_all(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the places are taken another tenant's stream waits for one, and its reads do not."""
    monkeypatch.setattr(places, "WAIT_SECONDS", 0.5)
    server = serve(threads=2)
    busy = ImportStream(server.acme)
    assert outcomes(busy.send(customer())) == ["created"]
    assert_limited(failure(lambda: [*server.other.export()]), "too many uploads, imports")
    assert server.other.get(UNKNOWN_ID) == Customer()
    monkeypatch.setattr(places, "WAIT_SECONDS", SECONDS)
    [export] = in_background([lambda: [*server.other.export()]])
    assert outcomes(busy.send(customer())) == ["created"]
    busy.end()
    assert list(busy.call) == []
    assert len(export.result(SECONDS)) == 1


@any_backend
@pytest.mark.parametrize("rpc", ["UploadCustomers", "ImportCustomers", "ExportCustomers"])
def test_idle_streams_of_all(serve: Serve, monkeypatch: pytest.MonkeyPatch, rpc: str) -> None:
    """Streams that their clients leave idle make room for those of a tenant without any."""
    monkeypatch.setattr(places, "IDLE_SECONDS", 0.5)
    server = serve(threads=8)
    server.client("third").get(UNKNOWN_ID)
    with Http2(server.address) as connection:
        for tenant in ("acme", "third"):
            for _ in range(2):
                connection.begin(f"/{SERVICE.full_name}/{rpc}", as_tenant(tenant))
        wait_until(lambda: server.admitted("bulk") == 4)
        assert [it.HasField("customer") for it in server.other.upload([customer()])] == [True]
        assert connection.end()[1] == 8
        assert len([*server.other.export()]) == 1


@any_backend
def test_streams_that_are_not_read(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams whose clients take no message make room as well."""
    monkeypatch.setattr(places, "IDLE_SECONDS", 0.5)
    server = serve(threads=4)
    # More than is made before the client takes any of it.
    assert all(
        it.HasField("customer")
        for it in server.acme.upload(customer(first_name="A" * 200) for _ in range(300))
    )
    with Http2(server.address, window=0) as connection:
        stream = connection.begin(f"/{SERVICE.full_name}/ExportCustomers", as_tenant("acme"))
        connection.send(stream, b"")
        wait_until(lambda: server.admitted("bulk") == 1)
        kept = ImportStream(server.client("third"))
        assert outcomes(kept.send(customer())) == ["created"]
        assert [it.HasField("customer") for it in server.other.upload([customer()])] == [True]
        assert connection.end()[1] in {8, RESET}
        assert outcomes(kept.send(customer())) == ["created"]
        kept.end()
        assert list(kept.call) == []


@of_grpcio
@any_backend
def test_answers_that_are_not_read(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenant that takes no answers gets few more; its calls go on when it has been cut off."""
    monkeypatch.setattr(untaken, "TENANT_BYTES", 1_000_000)
    monkeypatch.setattr(untaken, "IDLE_SECONDS", SECONDS)
    server = serve(threads=4)
    large = [customer(tax_exemptions=["x" * 1000] * 100) for _ in range(3)]
    assert [it.HasField("customer") for it in server.acme.upload(large)] == [True] * 3
    with Http2(server.address, window=0) as connection:
        for _ in range(20):
            stream = connection.begin(f"/{SERVICE.full_name}/ListCustomers", as_tenant("acme"))
            connection.send(stream, b"")
        # Each takes 300 kB, and two may run at a time.
        wait_until(lambda: 14 <= server.admitted("unary") <= 16)
        assert server.other.get(UNKNOWN_ID) == Customer()
        get = CustomerServiceStub(server.channel).GetCustomer
        own = pb.GetCustomerRequest(id=UNKNOWN_ID)
        waits = failure(lambda: get(own, 1, as_tenant("acme")))
        assert waits.code is grpc.StatusCode.DEADLINE_EXCEEDED
        monkeypatch.setattr(untaken, "IDLE_SECONDS", 0)
        assert server.acme.get(UNKNOWN_ID) == Customer()
        monkeypatch.setattr("twc_customer_server.contract.STREAM_IDLE_SECONDS", 0)
        assert {connection.end()[1] for _ in range(20)} <= {1, RESET}


@any_backend
def test_import_that_makes_room(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """An import that was long idle is told that it made room, and when to try again."""
    monkeypatch.setattr(places, "IDLE_SECONDS", 0.5)
    server = serve(threads=2)
    idle = ImportStream(server.acme)
    assert outcomes(idle.send(customer())) == ["created"]
    assert [it.HasField("customer") for it in server.other.upload([customer()])] == [True]
    assert_limited(failure(lambda: next(idle.call)), "made room for one of another tenant")
    idle.end()
    again = ImportStream(server.acme)
    assert outcomes(again.send(customer())) == ["created"]
    again.end()
    assert list(again.call) == []


@any_backend
def test_import_at_work_that_makes_room(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """An import that is always at work makes room, too; what it has answered is stored."""
    monkeypatch.setattr(places, "HELD_SECONDS", 0.5)
    server = serve(threads=2)
    batches = (batch(*(customer() for _ in range(100))) for _ in itertools.count())
    busy = server.acme.import_(batches)
    sizes = [len(next(busy).results)]
    [export] = in_background([lambda: [*server.other.export()]])
    failed = failure(lambda: sizes.extend(len(answer.results) for answer in busy))
    assert_limited(failed, "made room for one of another tenant")
    assert len(export.result(SECONDS)) == 1
    answered = sum(sizes)
    stored = sum(len(part.customers) for part in server.acme.export())
    assert answered <= stored <= answered + 100


@any_backend
def test_waiting_calls_of_all(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """When all places to wait for changes are taken, the tenant with the most makes room."""
    monkeypatch.setattr(places, "IDLE_SECONDS", 0.1)
    server = serve(tenant_waiting_rpcs=2, max_waiting_rpcs=2)
    server.acme.create(customer())
    streams = [server.acme.watch() for _ in range(2)]
    assert all(next(stream).changes for stream in streams)
    assert [*server.other.changes().changes] == []
    assert_limited(failure(lambda: [*streams[0]]), "made room for one of another tenant")
    new = server.acme.create(customer())
    assert next(streams[1]).changes[0].customer.id == new.id


@any_backend
def test_requests_per_second(serve: Serve) -> None:
    """A tenant that makes more requests than it may is refused, and others are served."""
    server = serve(tenant_requests_per_second=0.01)
    failed = failure(lambda: server.acme.get(UNKNOWN_ID))
    assert_limited(failed, "a tenant may make 0.01 a second; try again after a while")
    assert server.client("third").get(UNKNOWN_ID) == Customer()
    assert server.refused("GetCustomer") == 1


@any_backend
def test_pace_of_requests(serve: Serve) -> None:
    """Requests that are somewhat too fast wait for their time, and are served."""
    server = serve(tenant_requests_per_second=20)
    assert [server.acme.get(UNKNOWN_ID) for _ in range(10)] == [Customer()] * 10


def test_parked_call(tmp_path: Path) -> None:
    """Calls that wait for the keys of their issuer take no thread, and are served with them."""
    issuers = {name: Issuer(f"https://id.example/{name}") for name in ("acme", "other")}
    may_answer = threading.Event()

    def answer(connection: socket.socket, path: str) -> None:
        if path == "/acme":
            may_answer.wait(SECONDS)
        connection.sendall(response(jwks(issuers[path[1:]])))

    def metadata(name: str) -> Metadata:
        return (("authorization", f"Bearer {issuers[name].token()}"), tenant_header(name))

    with IssuerSite(answer) as site:
        issuer = {"issuer": "https://id.example/{tenant}", "jwks": f"{site.url}/{{tenant}}"}
        with Server(data_dir=tmp_path, threads=1, **issuer) as server:
            stub = CustomerServiceStub(server.channel)
            request = pb.GetCustomerRequest(id=UNKNOWN_ID)
            parked = [stub.GetCustomer.future(request, SECONDS, metadata("acme")) for _ in range(3)]
            wait_until(lambda: "/acme" in site.paths)
            assert stub.GetCustomer(request, SECONDS, metadata("other")) == Customer()
            may_answer.set()
            assert [each.result(SECONDS) for each in parked] == [Customer()] * 3


def test_unknown_grpcio(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With a version of grpcio that is not known calls are served, and the log has a warning."""
    monkeypatch.setattr(incoming, "IS_SUPPORTED", False)
    with InProcessServer(data_dir=tmp_path) as server:
        client = server.client("acme")
        assert client.get(client.create(customer()).id).email
        assert [it.HasField("customer") for it in client.upload([customer()])] == [True]
        assert server.is_healthy()
    assert "limits per tenant are off" in caplog.text


@pytest.mark.parametrize("name", ["_possibly_finish_call", "_OPEN", "_RPCState"])
def test_check_of_grpcio(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Another grpcio is noticed by its private names."""
    assert incoming.IS_SUPPORTED
    monkeypatch.setattr(f"grpc._server.{name}", lambda other: other)
    assert not incoming.is_supported()
