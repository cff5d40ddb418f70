"""Transient failures are retried; others are not."""

import time
from pathlib import Path

import grpc
import pytest
from google.rpc import code_pb2
from twc.customer.v2 import customer_service_pb2 as pb

from tests.client.command_line import CommandLine, Result, emails
from tests.support.fake_services import Requests, Responses, accept, fail, serving


class FailingService:
    """Answers one batch per call and then fails, some times."""

    def __init__(self, code: "code_pb2.Code", times: int, retry_after: float = 0) -> None:
        self._code = code
        self._times = times
        self._retry_after = retry_after
        self.calls: list[float] = []
        self.seen: list[int] = []

    def imports(self, requests: Requests, context: grpc.ServicerContext) -> Responses:
        """Answers the first batch, and fails with the second."""
        self.calls.append(time.monotonic())
        for number, request in enumerate(requests):
            if number and len(self.calls) <= self._times:
                fail(context, self._code, self._retry_after)
            self.seen += [item.sequence for item in request.items]
            yield accept(request)


def import_batches(service: FailingService, folder: Path, *options: str) -> Result:
    """Imports a few batches."""
    with serving(ImportCustomers=service.imports) as address:
        cli = CommandLine(address, "acme", folder)
        path = cli.write("x.jsonl", *emails(*range(3000)))
        return cli.run(*options, "import", path, "--json")


@pytest.mark.parametrize(
    "code",
    [code_pb2.UNAVAILABLE, code_pb2.RESOURCE_EXHAUSTED, code_pb2.CANCELLED, code_pb2.INTERNAL],
)
def test_broken_stream(tmp_path: Path, code: "code_pb2.Code") -> None:
    """The batches of a broken stream that had no response are sent again."""
    service = FailingService(code, times=2)
    result = import_batches(service, tmp_path)

    assert result.status == 0
    assert result.json["created"] == 3000
    assert sorted(service.seen) == [*range(1, 3001)]
    assert len(service.calls) == 3


@pytest.mark.parametrize("code", [code_pb2.RESOURCE_EXHAUSTED, code_pb2.UNKNOWN])
def test_retry_info(tmp_path: Path, code: "code_pb2.Code") -> None:
    """A retry waits as long as the server asks, whatever the code."""
    service = FailingService(code, times=1, retry_after=0.9)
    assert import_batches(service, tmp_path).status == 0
    assert service.calls[1] - service.calls[0] >= 0.9


def test_permanent_failure(tmp_path: Path) -> None:
    """A failure that is not transient ends the import, which can be resumed."""
    service = FailingService(code_pb2.PERMISSION_DENIED, times=100)
    result = import_batches(service, tmp_path)

    assert result.status == 1
    assert len(service.calls) == 1
    assert result.json["created"] == result.json["last_record"] == len(service.seen)
    assert result.json["error"] == "not now (PERMISSION_DENIED)"
    assert "run the same command again to resume" in result.err


class SilentService(FailingService):
    """Answers nothing."""

    def imports(self, requests: Requests, _: grpc.ServicerContext) -> Responses:
        """Reads until the client cancels the call."""
        self.calls.append(time.monotonic())
        list(requests)
        yield pb.ImportCustomersResponse()


def test_timeout(tmp_path: Path) -> None:
    """A server that does not respond in time is retried, and given up in the end."""
    service = SilentService(code_pb2.OK, times=0)
    result = import_batches(service, tmp_path, "--timeout", "1", "--retry-for", "2.5")

    assert result.status == 1
    assert "gave up after" in result.err
    assert len(service.calls) > 1
    assert not list(tmp_path.glob("*state*"))


class EndingService(FailingService):
    """Ends the first call early, with OK."""

    def imports(self, requests: Requests, _: grpc.ServicerContext) -> Responses:
        """Answers one batch in the first call, and all in the others."""
        self.calls.append(time.monotonic())
        for request in requests:
            yield accept(request)
            if len(self.calls) == 1:
                return


def test_early_end_of_stream(tmp_path: Path) -> None:
    """A server that ends a stream early is sent the rest."""
    result = import_batches(EndingService(code_pb2.OK, times=0), tmp_path)
    assert (result.status, result.json["created"]) == (0, 3000)


class WrongService(FailingService):
    """Answers with responses that match no batch."""

    def imports(self, requests: Requests, _: grpc.ServicerContext) -> Responses:
        """Answers each batch with no results."""
        yield from (pb.ImportCustomersResponse() for _ in requests)


def test_wrong_response(tmp_path: Path) -> None:
    """A response without a result for each customer is an error."""
    result = import_batches(WrongService(code_pb2.OK, times=0), tmp_path)
    assert result.status == 1
    assert "does not match the batch that was sent" in result.err
