"""Calls whose messages do not come, or whose answers nobody takes: they hold nothing up."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from tests.support.builders import UNKNOWN_ID, customer
from tests.support.client import SECONDS, SERVICE, Client, as_tenant, failure
from tests.support.http2 import RESET, Http2
from tests.support.in_process import InProcessServer
from tests.support.server_process import wait_until
from tests.support.servers import Server, of_grpcio
from twc_customer_server import contract
from twc_customer_server.transport import (
    connections,
    health,
    open_calls,
    receiver,
    reflection,
    services,
)

GET, LIST, LOOKUP, CREATE, UPLOAD, EXPORT = (
    f"/{SERVICE.full_name}/{rpc}"
    for rpc in (
        "GetCustomer",
        "ListCustomers",
        "LookupCustomers",
        "CreateCustomer",
        "UploadCustomers",
        "ExportCustomers",
    )
)
CHECK, WATCH = "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

OK, CANCELLED, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNIMPLEMENTED, UNAUTHENTICATED = (
    0,
    1,
    4,
    8,
    12,
    16,
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[InProcessServer]:
    """A server of the test's own, with two threads."""
    with Server(data_dir=tmp_path, threads=2) as server:
        yield server


@pytest.fixture
def client(server: InProcessServer) -> Client:
    """A client whose token the server knows."""
    client = server.client("other")
    client.get(UNKNOWN_ID)
    return client


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has messages come within a moment."""
    for module in (receiver, open_calls):
        monkeypatch.setattr(module, "MESSAGE_SECONDS", 0.5)
    monkeypatch.setattr(reflection, "STREAM_SECONDS", 0.5)


def stub(server: InProcessServer) -> Any:
    """Calls to the server's health."""
    return health_pb2_grpc.HealthStub(server.channel)


def ends(connection: Http2, number: int) -> Counter[int | str]:
    """The statuses with which so many calls end."""
    return Counter(connection.end()[1] for _ in range(number))


@pytest.mark.parametrize("path", [GET, CREATE, EXPORT])
def test_idle_calls(server: InProcessServer, client: Client, path: str) -> None:
    """Calls without a message take no thread, however many there are."""
    Client(server.channel, "acme").get(UNKNOWN_ID)
    with Http2(server.address) as connection:
        for _ in range(100):
            connection.begin(path, as_tenant("acme"))
        assert client.get(UNKNOWN_ID) == Customer()
        assert server.is_healthy()


@pytest.mark.usefixtures("hurried")
def test_end_of_idle_call(server: InProcessServer) -> None:
    """A call whose message does not come is told so, in the one shape of errors."""
    method: Any = server.channel.stream_unary(GET)
    may_end = threading.Event()
    requests: Iterator[bytes] = iter(lambda: bytes(may_end.wait(SECONDS)), None)
    failed = failure(lambda: method(requests, SECONDS, as_tenant("acme")))
    may_end.set()
    assert failed.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert (failed.reason, failed.domain) == ("DEADLINE_EXCEEDED", "customer.twc")
    assert "did not come within 0.5 s" in failed.message


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("path", [GET, UPLOAD, EXPORT, CHECK, WATCH])
def test_status_of_idle_call(server: InProcessServer, path: str) -> None:
    """Of every RPC that awaits a message, a call without one ends soon."""
    with Http2(server.address) as connection:
        stream = connection.begin(path, as_tenant("acme"))
        assert connection.end() == (stream, DEADLINE_EXCEEDED)


@pytest.mark.usefixtures("hurried")
def test_thousand_idle_calls(server: InProcessServer, client: Client) -> None:
    """Of a tenant's idle calls a few are admitted; the others are refused, and others served."""
    Client(server.channel, "acme").get(UNKNOWN_ID)
    connections = [Http2(server.address) for _ in range(4)]
    for number in range(1000):
        connections[number % 4].begin(GET, as_tenant("acme"))
    served = [client.get(UNKNOWN_ID) for _ in range(20)]
    assert served == [Customer()] * 20
    refused: Counter[int | str] = Counter()
    for connection in connections:
        with connection:
            refused += ends(connection, 220)
    assert refused[RESOURCE_EXHAUSTED] > 800
    assert set(refused) <= {RESOURCE_EXHAUSTED, DEADLINE_EXCEEDED}


def test_idle_calls_of_many_tenants(
    server: InProcessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls without a message keep no other tenant waiting, of however many tenants they are."""
    monkeypatch.setattr(receiver, "_SURPLUS_SECONDS", SECONDS)
    tenants = [f"tenant-{number}" for number in range(10)]
    for tenant in (*tenants, "other"):
        Client(server.channel, tenant).get(UNKNOWN_ID)
    with Http2(server.address) as connection:
        for tenant in tenants * 10:
            connection.begin(GET, as_tenant(tenant))
        stream = connection.begin(GET, as_tenant("other"))
        connection.send(stream, pb.GetCustomerRequest(id=UNKNOWN_ID).SerializeToString())
        assert connection.end() == (stream, OK)


def test_idle_calls_beyond_slots(server: InProcessServer) -> None:
    """Of calls that could together be sent too large messages, some are soon told to try again."""
    with Http2(server.address) as connection:
        for tenant in ("acme", "other", "third") * 4:
            connection.begin(GET, as_tenant(tenant))
        assert ends(connection, 4) == {RESOURCE_EXHAUSTED: 4}


def test_idle_calls_without_token(server: InProcessServer) -> None:
    """A call without a good token ends at once, though its message did not come."""
    with Http2(server.address) as connection:
        for path in (GET, CREATE, UPLOAD, EXPORT):
            connection.begin(path)
            connection.begin(path, (("authorization", "Bearer x"), ("x-twc-tenant", "acme")))
        assert ends(connection, 8) == {UNAUTHENTICATED: 8}


@of_grpcio
def test_calls_of_a_connection(tmp_path: Path) -> None:
    """A connection has a number of calls at the same time; more are reset at once."""
    with (
        Server(data_dir=tmp_path, tenant_concurrent_calls=1000) as server,
        Http2(server.address) as connection,
    ):
        for _ in range(300):
            connection.begin(GET, as_tenant("acme"))
        more = 300 - connections.MAX_CONNECTION_CALLS
        assert ends(connection, more) == {RESET: more}


def test_half_sent_message(server: InProcessServer, client: Client) -> None:
    """Calls whose message began and does not go on take no thread."""
    Client(server.channel, "acme").get(UNKNOWN_ID)
    with Http2(server.address) as connection:
        for _ in range(10):
            connection.send(connection.begin(CREATE, as_tenant("acme")), b"x", length=1000)
        assert client.get(UNKNOWN_ID) == Customer()


@pytest.mark.parametrize("path", [GET, UPLOAD])
def test_message_that_would_be_too_large(server: InProcessServer, path: str) -> None:
    """A message that is larger than any may be is refused when its length is known."""
    with Http2(server.address) as connection:
        stream = connection.begin(path, as_tenant("acme"))
        connection.send(stream, b"x", length=contract.MAX_BATCH_BYTES + (1 << 20) + 1)
        assert connection.end() == (stream, RESOURCE_EXHAUSTED)


def test_slow_message(server: InProcessServer) -> None:
    """A call whose message comes a while after its headers is answered like any other."""
    with Http2(server.address) as connection:
        stream = connection.begin(GET, as_tenant("acme"))
        time.sleep(0.2)
        connection.send(stream, pb.GetCustomerRequest(id=UNKNOWN_ID).SerializeToString())
        assert connection.end() == (stream, OK)


@of_grpcio
@pytest.mark.parametrize("path", [GET, LIST, LOOKUP, EXPORT])
def test_unread_answers(
    server: InProcessServer, client: Client, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """An answer that its client does not take for too long ends, however small it is."""
    created = client.upload([customer(last_name="Same")])[0].customer
    requests = {
        GET: pb.GetCustomerRequest(id=created.id),
        LIST: pb.ListCustomersRequest(),
        LOOKUP: pb.LookupCustomersRequest(last_name="Same"),
        EXPORT: pb.ExportCustomersRequest(),
    }
    monkeypatch.setattr("twc_customer_server.contract.STREAM_IDLE_SECONDS", 0.5)
    with Http2(server.address, window=0) as connection:
        streams = [connection.begin(path, as_tenant("other")) for _ in range(3)]
        for stream in streams:
            connection.send(stream, requests[path].SerializeToString())
        ended = dict(connection.end() for _ in range(3))
    # As what of it grpcio has sent, which has a status or not.
    assert ended.keys() == set(streams)
    assert set(ended.values()) <= {CANCELLED, RESET, RESOURCE_EXHAUSTED}


def test_call_without_message(server: InProcessServer) -> None:
    """A client that sends no message at all is told so, as gRPC prescribes."""
    failed = failure(lambda: server.channel.stream_unary(GET)(iter(()), SECONDS, as_tenant("acme")))
    assert failed.code is grpc.StatusCode.UNIMPLEMENTED


def test_cancelled_calls(tmp_path: Path) -> None:
    """Idle calls that their client cancels leave their places to others."""
    with Server(data_dir=tmp_path, threads=2, tenant_concurrent_calls=1) as server:
        client = server.client("acme")
        with Http2(server.address) as connection:

            def takes_place() -> bool:
                connection.begin(GET, as_tenant("acme"))
                return not is_answered(client)

            wait_until(takes_place)
        wait_until(lambda: is_answered(client))


def is_answered(client: Client) -> bool:
    """Tells whether a call is answered, and not refused."""
    try:
        client.get(UNKNOWN_ID)
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED  # noqa: PT017 - it may come or not
        return False
    return True


def test_upload_that_goes_on_slowly(tmp_path: Path) -> None:
    """An upload takes no thread before it is complete."""
    with Server(data_dir=tmp_path, threads=1) as server:
        sent, go_on = threading.Event(), threading.Event()

        def items() -> Iterator[pb.UploadCustomersRequest]:
            yield pb.UploadCustomersRequest(customer=customer())
            sent.set()
            go_on.wait(SECONDS)
            yield pb.UploadCustomersRequest(customer=customer())

        results: list[Any] = []
        uploading = threading.Thread(
            target=lambda: results.extend(server.client("acme").send_upload(items()))
        )
        uploading.start()
        assert sent.wait(SECONDS)
        assert server.client("other").get(UNKNOWN_ID) == Customer()
        go_on.set()
        uploading.join(SECONDS)
    assert [it.HasField("customer") for it in results] == [True, True]


def test_idle_health_checks(server: InProcessServer, client: Client) -> None:
    """Empty checks of health keep neither calls nor other checks from being answered."""
    with Http2(server.address) as connection:
        for _ in range(100):
            connection.begin(CHECK)
        assert server.is_healthy()
        assert client.get(UNKNOWN_ID) == Customer()
        assert ends(connection, 84) == {RESOURCE_EXHAUSTED: 84}


def test_idle_health_checks_of_clients(tmp_path: Path) -> None:
    """Empty checks of clients end none of the gateway, which would take the server for ill."""
    may_go_on = threading.Event()

    def requests() -> Iterator[bytes]:
        may_go_on.wait(SECONDS)
        yield b""

    with (
        Server(data_dir=tmp_path) as server,
        grpc.insecure_channel(server.gateway_address) as channel,
        Http2(server.address) as native,
    ):
        check: Any = channel.stream_unary(CHECK)
        checked = check.future(requests(), SECONDS)
        for _ in range(100):
            native.begin(CHECK)
        assert ends(native, 84) == {RESOURCE_EXHAUSTED: 84}
        may_go_on.set()
        assert checked.result(SECONDS)


def test_malformed_health_check(server: InProcessServer) -> None:
    """A check that cannot be decoded is refused."""
    check: Any = server.channel.unary_unary(CHECK)
    failed = failure(lambda: check(b"\xff", SECONDS))
    assert (failed.code, failed.reason) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "MALFORMED_REQUEST",
    )


def test_health_of_unknown_service(server: InProcessServer) -> None:
    """Of a service that the server does not have it says so."""
    request = health_pb2.HealthCheckRequest(service="twc.Other")
    failed = failure(lambda: stub(server).Check(request, SECONDS))
    assert failed.code is grpc.StatusCode.NOT_FOUND
    watched = next(stub(server).Watch(request))
    assert watched.status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


def test_many_watches(server: InProcessServer, client: Client) -> None:
    """There are so many watchers of health; one more is refused, and served when another ends."""
    request = health_pb2.HealthCheckRequest()
    watches: list[Any] = []
    # One after another: only some may be without their message at a time.
    for _ in range(health.MAX_WATCHES):
        watches.append(stub(server).Watch(request))
        assert next(watches[-1]).status == SERVING
    refused = failure(lambda: next(stub(server).Watch(request)))
    assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (refused.reason, refused.retry) == ("RATE_LIMITED", 1)
    assert server.is_healthy()
    assert client.get(UNKNOWN_ID) == Customer()
    watches.pop().cancel()
    wait_until(lambda: is_watched(server))


def is_watched(server: InProcessServer) -> bool:
    """Tells whether the server takes another watcher."""
    try:
        return bool(next(stub(server).Watch(health_pb2.HealthCheckRequest())).status == SERVING)
    except grpc.RpcError:
        return False


def test_watcher_that_takes_nothing(tmp_path: Path) -> None:
    """A watcher that takes no message delays neither checks, nor other watchers, nor the end."""
    server = Server(data_dir=tmp_path, grace_seconds=300)
    request = health_pb2.HealthCheckRequest()
    with Http2(server.address, window=0) as connection:
        connection.send(connection.begin(WATCH), request.SerializeToString())
        watch = stub(server).Watch(request)
        assert next(watch).status == SERVING
        assert server.is_healthy()
        stopping = threading.Thread(target=server.end, daemon=True)
        stopping.start()
        assert next(watch).status == NOT_SERVING
        stopping.join(SECONDS)
        assert not stopping.is_alive()
    server.channel.close()


def test_left_reflection(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A client that leaves a stream of reflection after an answer is no error to log."""
    with Server(data_dir=tmp_path) as server:
        reflect: Any = reflection_pb2_grpc.ServerReflectionStub(server.channel)
        may_end = threading.Event()

        def requests() -> Iterator[Any]:
            yield reflection_pb2.ServerReflectionRequest(list_services="")
            may_end.wait(SECONDS)

        stream = reflect.ServerReflectionInfo(requests())
        assert next(stream).HasField("list_services_response")
        stream.cancel()
        may_end.set()

    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_idle_reflection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams of reflection are few, end by themselves, and take no thread of calls."""
    monkeypatch.setattr(reflection, "STREAM_SECONDS", 2)
    monkeypatch.setattr(services, "_FEWEST_PLACES", 1)
    with Server(data_dir=tmp_path, threads=1) as server:
        reflect: Any = reflection_pb2_grpc.ServerReflectionStub(server.channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        may_end = threading.Event()

        def requests() -> Iterator[Any]:
            yield request
            may_end.wait(SECONDS)

        idle = [reflect.ServerReflectionInfo(requests()) for _ in range(reflection.MAX_STREAMS)]
        for stream in idle:
            assert next(stream).HasField("list_services_response")
        refused = failure(lambda: next(reflect.ServerReflectionInfo(iter([request]))))
        assert (refused.code, refused.reason) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "RATE_LIMITED",
        )
        assert server.client("acme").get(UNKNOWN_ID) == Customer()
        ended = [failure(partial(next, stream)).code for stream in idle]
        may_end.set()
        assert ended == [grpc.StatusCode.CANCELLED] * reflection.MAX_STREAMS

        def is_reflected() -> bool:
            call = reflect.ServerReflectionInfo(iter([request]))
            # The server may know of the ends after the clients do.
            with suppress(grpc.RpcError):
                return bool(next(call).HasField("list_services_response"))
            assert call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            return False

        wait_until(is_reflected)
