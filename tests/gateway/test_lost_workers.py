"""A worker that ends or hangs: what it costs clients while the others serve, and its return."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import grpc
import httpx
import psutil
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_service_pb2_grpc import CustomerServiceStub

from tests.gateway.errors import Error, error_of
from tests.gateway.service import Service
from tests.support.builders import NO_CUSTOMER, customer
from tests.support.client import SECONDS, Client, Failure, as_tenant, read_failure
from tests.support.server_process import wait_until
from twc_customer_server.contract import READ_SECONDS

T = TypeVar("T")

THREADS = 8

# Between two calls of a thread, once it need not have one in hand all the time: so many calls
# would keep the machine from starting a worker.
_PAUSE_SECONDS = 0.05

# A call that another worker has is answered by then; one of a worker that hangs ends later.
_ANSWER_SECONDS = READ_SECONDS - 1


def test_killed_under_reads(tmp_path: Path) -> None:
    """A worker that is killed costs no read that is answered in one piece, and is back soon.

    Only an answer that was under way when its worker was killed cannot be taken
    back, such as a list that is sent customer by customer.
    """
    with Service(tmp_path) as service:
        with service.http("acme") as http:
            created = http.post("/customers", json={"email": "ada@example.com"}).json()
        before = service.workers()
        with _reading(service, f"/customers/{created['id']}") as (answers, calm):
            wait_until(lambda: len(answers) > 200)
            before[min(before)].kill()
            seen = len(answers)
            wait_until(lambda: len(answers) > seen + 200)
            calm.set()
            wait_until(lambda: bool(service.served("read") - {*before}))

        assert {answer.status_code for answer in answers} == {200}
        assert all(answer.json() == created for answer in answers)
        assert len({*service.workers()} & {*before}) == 1


def test_killed_under_creates(tmp_path: Path) -> None:
    """A worker that is killed loses nothing acknowledged; what it had in hand is 500."""
    answers: list[tuple[str, int]] = []
    done = threading.Event()

    with Service(tmp_path) as service:

        def create(thread: int) -> None:
            with service.http("acme") as http:
                number = 0
                while not done.is_set():
                    email = f"{thread}-{number}@example.com"
                    status = http.post("/customers", json={"email": email}).status_code
                    answers.append((email, status))
                    number += 1

        with _on_threads(create, done):
            wait_until(lambda: len(answers) > 100)
            next(iter(service.workers().values())).kill()
            seen = len(answers)
            wait_until(lambda: len(answers) > seen + 300)

        failed = [status for _, status in answers if status != 201]
        assert {*failed} <= {500}
        # No thread had more than one call in the worker's hand.
        assert len(failed) <= THREADS
        with service.http("acme") as http:
            for email, status in answers:
                found = http.get("/customers/search", params={"email": email}).json()
                assert len(found) in ({1} if status == 201 else {0, 1})


def test_killed_while_idle(tmp_path: Path) -> None:
    """A worker that is killed with nothing in hand costs nothing, though it looks the least busy.

    The other one is busy with an upload, unless it was the killed one that had it, as every
    second time.
    """
    with Service(tmp_path) as service, service.http("acme") as http:
        for ends in range(1, 30):
            worker = next(iter(service.workers().values()))
            with _uploading(service) as upload:
                worker.kill()
                worker.wait(SECONDS)
                sent = [{"email": f"{ends}-{number}@example.com"} for number in range(10)]
                statuses = [http.post("/customers", json=body).status_code for body in sent]
            assert statuses == [201] * 10
            if upload.code() is grpc.StatusCode.OK:
                return
            _await_all(service, f"round-{ends}")
    raise AssertionError("the busy worker was the killed one each time")


def test_killed_while_a_body_is_sent(tmp_path: Path) -> None:
    """A large body goes on when the worker that counts it is killed."""
    body = json.dumps([{"email": "ada@example.com"}]).encode()
    with Service(tmp_path) as service:
        head = f"POST /api/v2/upload-customers HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}"
        own = {"content-type": "application/json"} | dict(as_tenant("acme"))
        lines = [head, *(f"{name}: {value!s}" for name, value in own.items()), "", ""]
        address = ("127.0.0.1", service.settings.gateway_port)
        with socket.create_connection(address, SECONDS) as connection:
            connection.sendall("\r\n".join(lines).encode())
            workers = [*service.workers().values()]
            for number, worker in enumerate(workers):
                connection.sendall(body[number : number + 1])
                worker.kill()
                worker.wait(SECONDS)
                _await_all(service, f"round-{number}")
            connection.sendall(body[len(workers) :])
            assert connection.recv(12) == b"HTTP/1.1 201"


def test_read_in_hand(tmp_path: Path) -> None:
    """A read that a worker had in hand when it was killed is answered by another."""
    with Service(tmp_path) as service, service.http("acme") as http:

        def read(_: int) -> httpx.Response:
            return http.get(NO_CUSTOMER)

        with _in_hand(service, read) as (worker, call):
            worker.kill()

            assert call.result(SECONDS).status_code == 204


def test_write_in_hand(tmp_path: Path) -> None:
    """A write that a worker had in hand when it was killed fails, and no other does it."""
    emails: list[str] = []

    with Service(tmp_path) as service, service.http("acme") as http:

        def create(number: int) -> httpx.Response:
            emails.append(f"{number}@example.com")
            return http.post("/customers", json={"email": emails[-1]})

        with _in_hand(service, create) as (worker, call):
            worker.kill()
            answer = call.result(SECONDS)

        assert error_of(answer) == Error(500, 2, "OUTCOME_UNKNOWN", [])
        assert "retry-after" not in answer.headers
        assert "RetryInfo" not in answer.text
        found = [http.get("/customers/search", params={"email": it}).json() for it in emails]
        assert [len(each) for each in found] == [1] * (len(emails) - 1) + [0]


def test_native_write_in_hand(tmp_path: Path) -> None:
    """A native one is made once, not at all, or of unknown outcome, as the client is told.

    The worker may have had the write in hand, or only the question about its token.
    """
    emails: list[str] = []

    with Service(tmp_path) as service:
        address = f"127.0.0.1:{service.settings.gateway_port}"
        with grpc.insecure_channel(address) as channel:
            client = Client(channel, "acme")

            def create(number: int) -> Failure | None:
                emails.append(f"{number}@example.com")
                try:
                    client.create(customer(email=emails[-1]))
                except grpc.RpcError as error:
                    return read_failure(error)
                return None

            with _in_hand(service, create) as (worker, call):
                worker.kill()
                told = call.result(SECONDS)
            wait_until(lambda: _is_served(client))
            stored = len(client.lookup(pb.LookupCustomersRequest(email=emails[-1])))

    expected = {None: {1}, "SERVICE_UNAVAILABLE": {0}, "OUTCOME_UNKNOWN": {0, 1}}
    assert stored in expected[told.reason if told else None]
    if told and told.reason == "OUTCOME_UNKNOWN":
        assert (told.code, told.retry) == (grpc.StatusCode.UNKNOWN, None)


def _is_served(client: Client) -> bool:
    """Tells whether the service answers a client."""
    with suppress(grpc.RpcError):
        client.lookup(pb.LookupCustomersRequest(email="nobody@example.com"))
        return True
    return False


def test_frozen_worker(tmp_path: Path) -> None:
    """A worker that hangs is 504 for its share of the calls in hand; the others serve on."""
    with Service(tmp_path, workers=3) as service:
        worker = next(iter(service.workers().values()))
        with _reading(service, NO_CUSTOMER) as (answers, calm):
            wait_until(lambda: len(answers) > 200)
            worker.suspend()
            seen = len(answers)
            wait_until(lambda: len(answers) > seen + 200)
            calm.set()
            wait_until(lambda: any(answer.status_code == 504 for answer in answers))
            seen = len(answers)
            wait_until(lambda: len(answers) > seen + 200)
            worker.resume()
        late = [answer for answer in answers if answer.status_code != 204]

        assert {answer.status_code for answer in late} == {504}
        assert len(late) <= THREADS // 2
        _await_all(service, "resumed")


def test_backoff_of_restarts(tmp_path: Path) -> None:
    """A worker that keeps ending is restarted with a backoff that grows, logged in one line."""
    with Service(tmp_path) as service:
        [kept, victim] = service.workers()
        for ends in (1, 2, 3):
            service.workers()[victim].kill()
            _await_restart(service, ends)
            [victim] = {*service.workers()} - {kept}
        said = [line.split(" ", 1) for line in service.restarts()]

        assert len({name for name, _ in said}) == 1
        assert [event for _, event in said] == [
            f"was killed by SIGKILL; restarting it in {pause} s" for pause in ("0.5", "1", "2")
        ]


def _await_restart(service: Service, times: int) -> None:
    wait_until(lambda: len(service.restarts()) == times)
    wait_until(lambda: len(service.workers()) == service.settings.workers)


def _await_all(service: Service, label: str) -> None:
    """Waits until every worker answers calls by way of the gateway."""
    with service.http("acme", label) as http:

        def all_answer() -> bool:
            assert http.get(NO_CUSTOMER).status_code == 204
            workers = {*service.workers()}
            return len(workers) == service.settings.workers and service.served(label) == workers

        wait_until(all_answer)


@contextmanager
def _on_threads(act: Callable[[int], None], done: threading.Event) -> Iterator[None]:
    """Acts on several threads, which are done when the block is over, and fails if one did."""
    with ThreadPoolExecutor(THREADS) as threads:
        acting = [threads.submit(act, thread) for thread in range(THREADS)]
        try:
            yield
        finally:
            done.set()
    assert [it.exception() for it in acting] == [None] * THREADS


@contextmanager
def _reading(service: Service, path: str) -> Iterator[tuple[list[httpx.Response], threading.Event]]:
    """Reads on several threads as long as the block lasts, and gives the answers.

    Threads call without a pause until the event, which it gives as well, is set.
    """
    answers: list[httpx.Response] = []
    calm, done = threading.Event(), threading.Event()

    def read(_: int) -> None:
        with service.http("acme", "read") as http:
            while not done.is_set():
                answers.append(http.get(path))
                if calm.is_set():
                    done.wait(_PAUSE_SECONDS)

    with _on_threads(read, done):
        yield answers, calm


@contextmanager
def _uploading(service: Service) -> Iterator[grpc.Call]:
    """Keeps a worker busy with an upload by way of the gateway, until the block is over."""
    sent, done = threading.Event(), threading.Event()

    def items() -> Iterator[pb.UploadCustomersRequest]:
        yield pb.UploadCustomersRequest(customer=customer())
        sent.set()
        done.wait(SECONDS)

    address = f"127.0.0.1:{service.settings.gateway_port}"
    with grpc.insecure_channel(address) as channel:
        upload = CustomerServiceStub(channel).UploadCustomers(items(), SECONDS, as_tenant("acme"))
        assert sent.wait(SECONDS)
        try:
            yield upload
        finally:
            done.set()
        with suppress(grpc.RpcError):
            list(upload)


@contextmanager
def _in_hand(
    service: Service, send: Callable[[int], T]
) -> Iterator[tuple[psutil.Process, Future[T]]]:
    """Freezes a worker, and sends calls until it has one in hand."""
    wait_until(lambda: bool(service.workers()))
    worker = next(iter(service.workers().values()))
    worker.suspend()
    with ThreadPoolExecutor(1) as thread:
        for number in range(100):
            call = thread.submit(send, number)
            try:
                call.result(_ANSWER_SECONDS)
            except TimeoutError:
                yield worker, call
                return
    raise AssertionError("no call went to the worker")
