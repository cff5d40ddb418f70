"""Streams without an end, which end with the token that they began with."""

import itertools
import queue
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_service_pb2_grpc import CustomerServiceStub

from tests.api.issued import eventually, metadata, serving_at
from tests.support.builders import customer
from tests.support.client import SECONDS, Failure, failure
from tests.support.forged import TENANT
from tests.support.import_stream import Batch, batch
from tests.support.tokens import Issuer, jwks

ISSUED = Issuer()


class Caller(NamedTuple):
    """A tenant of a server that takes tokens to the second."""

    stub: Any

    def import_(self, batches: Iterator[Batch], token: str) -> Any:
        """Calls ImportCustomers with a token."""
        return self.stub.ImportCustomers(batches, SECONDS, metadata(token))

    def export(self, token: str) -> Any:
        """Calls ExportCustomers with a token."""
        return self.stub.ExportCustomers(pb.ExportCustomersRequest(), SECONDS, metadata(token))

    def watch(self, token: str) -> Any:
        """Calls WatchCustomers with a token."""
        return self.stub.WatchCustomers(pb.WatchCustomersRequest(), SECONDS, metadata(token))

    def stored(self) -> int:
        """The number of stored customers."""
        return sum(len(part.customers) for part in self.export(ISSUED.token(tenant=TENANT)))


@pytest.fixture
def caller(tmp_path: Path) -> Iterator[Caller]:
    """A tenant without customers; which kind of database has none makes no difference."""
    location = tmp_path / "jwks.json"
    location.write_bytes(jwks(ISSUED))
    # Little is sent that nobody has asked for yet.
    options = [("grpc.http2.bdp_probe", 0)]
    with (
        serving_at({"data_dir": tmp_path}, ISSUED.name, location, clock_skew_seconds=0) as address,
        grpc.insecure_channel(address, options) as channel,
    ):
        yield Caller(CustomerServiceStub(channel))


class Short(NamedTuple):
    """A token that ends in a moment, and when that is."""

    token: str
    end: float

    def is_over(self) -> bool:
        """Tells whether the token has ended."""
        return time.time() >= self.end


def short() -> Short:
    """A token that is good for some seconds, in which a call begins on a busy machine, too."""
    end = int(time.time()) + 6
    return Short(ISSUED.token(tenant=TENANT, exp=end), end)


def check(ended: Failure) -> None:
    """Fails unless a stream ended as a call ends whose token has expired."""
    assert (ended.code, ended.message) == (
        grpc.StatusCode.UNAUTHENTICATED,
        "the token has expired",
    )
    assert (ended.reason, ended.domain) == ("UNAUTHENTICATED", "customer.twc")


def test_waiting_import(caller: Caller) -> None:
    """An import that nothing comes on ends with its token; what was answered stays."""
    batches: queue.SimpleQueue[Batch] = queue.SimpleQueue()
    token = short()
    stream = caller.import_(iter(batches.get, None), token.token)
    batches.put(batch(customer(), customer()))
    assert len(next(stream).results) == 2
    check(failure(lambda: next(stream)))
    assert token.is_over()
    assert time.time() < token.end + SECONDS / 4
    batches.put(batch(customer()))
    assert caller.stored() == 2
    challenge = dict(stream.trailing_metadata())["www-authenticate"]
    assert 'error="invalid_token"' in challenge


def test_busy_import(caller: Caller) -> None:
    """An import that something always comes on ends with its token; what was answered stays."""
    token = short()
    answered = 0

    def send() -> None:
        nonlocal answered
        batches = (batch(customer()) for _ in itertools.count())
        for answer in caller.import_(batches, token.token):
            answered += len(answer.results)

    check(failure(send))
    assert token.is_over()
    assert answered > 0
    assert caller.stored() == answered


def test_busy_export(caller: Caller) -> None:
    """An export sends nothing more once its token has ended."""
    large = [customer(tax_exemptions=["x" * 1000] * 100) for _ in range(60)]
    batches = [batch(*large[:30]), batch(*large[30:])]
    answers = caller.import_(iter(batches), ISSUED.token(tenant=TENANT))
    assert [len(answer.results) for answer in answers] == [30, 30]
    token = short()
    stream = caller.export(token.token)
    taken = [next(stream)]
    eventually(token.is_over)
    check(failure(lambda: taken.extend(stream)))
    assert sum(len(part.customers) for part in taken) < len(large)
    assert caller.stored() == len(large)


def test_idle_watch(caller: Caller) -> None:
    """A stream of changes ends with its token, though nothing changes."""
    token = short()
    stream = caller.watch(token.token)
    check(failure(lambda: list(stream)))
    assert token.is_over()
    assert time.time() < token.end + SECONDS / 4
