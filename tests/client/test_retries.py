"""What fails for now is tried again; what fails for good is not."""

import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.rpc import code_pb2
from twc.customer.v2 import customer_service_pb2 as pb

from tests.client.command_line import CommandLine, Ended, emails
from tests.client.fakes import answer, refuse, serving

Requests = Iterator[pb.ImportCustomersRequest]
Answers = Iterator[pb.ImportCustomersResponse]


class Failing:
    """An import that answers one batch per call and then fails, some times."""

    def __init__(self, code: "code_pb2.Code", times: int, seconds: float = 0) -> None:
        self._code = code
        self._times = times
        self._seconds = seconds
        self.calls: list[float] = []
        self.seen: list[int] = []

    def imports(self, requests: Requests, context: grpc.ServicerContext) -> Answers:
        """Answers or fails."""
        self.calls.append(time.monotonic())
        for number, request in enumerate(requests):
            if number and len(self.calls) <= self._times:
                refuse(context, self._code, self._seconds)
            self.seen += [item.sequence for item in request.items]
            yield answer(request)


def imported(failing: Failing, folder: Path, *options: str) -> Ended:
    """Imports a few batches."""
    with serving(imports=failing.imports) as address:
        cli = CommandLine(address, "acme", folder)
        path = cli.write("x.jsonl", *emails(*range(3000)))
        return cli.run(*options, "import", path, "--json")


@pytest.mark.parametrize(
    "code",
    [code_pb2.UNAVAILABLE, code_pb2.RESOURCE_EXHAUSTED, code_pb2.CANCELLED, code_pb2.INTERNAL],
)
def test_tried_again(tmp_path: Path, code: "code_pb2.Code") -> None:
    """A stream that breaks is begun anew with what was not answered."""
    failing = Failing(code, times=2)
    done = imported(failing, tmp_path)

    assert done.status == 0
    assert done.object["created"] == 3000
    assert sorted(failing.seen) == [*range(1, 3001)]
    assert len(failing.calls) == 3


def test_waits_as_told(tmp_path: Path) -> None:
    """The server says how long to wait, and is heard."""
    failing = Failing(code_pb2.RESOURCE_EXHAUSTED, times=1, seconds=0.9)
    assert imported(failing, tmp_path).status == 0
    assert failing.calls[1] - failing.calls[0] >= 0.9


def test_fails_for_good(tmp_path: Path) -> None:
    """What will not pass is not tried again, and what was answered stays done."""
    failing = Failing(code_pb2.PERMISSION_DENIED, times=100)
    done = imported(failing, tmp_path)

    assert done.status == 1
    assert len(failing.calls) == 1
    assert done.object["created"] == done.object["last_record"] == len(failing.seen)
    assert done.object["error"] == "not now (PERMISSION_DENIED)"
    assert "run the same command again to go on" in done.err


class Silent(Failing):
    """An import that answers nothing."""

    def imports(self, requests: Requests, _: grpc.ServicerContext) -> Answers:
        """Reads, and waits until the client has enough."""
        self.calls.append(time.monotonic())
        list(requests)
        yield pb.ImportCustomersResponse()


def test_gives_up(tmp_path: Path) -> None:
    """A server that does not answer in time is given up after a while."""
    silent = Silent(code_pb2.OK, times=0)
    done = imported(silent, tmp_path, "--timeout", "0.2", "--retry-for", "1")

    assert done.status == 1
    assert "gave up after" in done.err
    assert len(silent.calls) > 1
    assert not list(tmp_path.glob("*state*"))


class Ending(Failing):
    """An import that ends in good order before its end, once."""

    def imports(self, requests: Requests, _: grpc.ServicerContext) -> Answers:
        """Answers the first batch only, the first time."""
        self.calls.append(time.monotonic())
        for request in requests:
            yield answer(request)
            if len(self.calls) == 1:
                return


def test_ends_early(tmp_path: Path) -> None:
    """A server that ends a stream too soon is sent the rest."""
    done = imported(Ending(code_pb2.OK, times=0), tmp_path)
    assert (done.status, done.object["created"]) == (0, 3000)


class Wrong(Failing):
    """An import that answers what was not asked."""

    def imports(self, requests: Requests, _: grpc.ServicerContext) -> Answers:
        """Answers with nothing."""
        yield from (pb.ImportCustomersResponse() for _ in requests)


def test_wrong_answer(tmp_path: Path) -> None:
    """An answer that does not say what became of each customer is not believed."""
    done = imported(Wrong(code_pb2.OK, times=0), tmp_path)
    assert done.status == 1
    assert "does not belong to what it was sent" in done.err
