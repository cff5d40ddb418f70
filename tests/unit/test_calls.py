"""The lines that the log has of calls."""

import json
import logging
import os
from datetime import UTC, datetime

import pytest

from twc_customer_server.telemetry import access_log
from twc_customer_server.telemetry.access_log import AccessLog, EndedCall
from twc_customer_server.telemetry.logs import RAW_LINES

CALL = EndedCall("GetCustomer", "OK", "acme", "request-1", 1_700_000_000.25, 0.0012345)


@pytest.fixture
def call_log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> AccessLog:
    """A log that writes where the test can read it."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(RAW_LINES, "handlers", [caplog.handler])
    monkeypatch.setattr(RAW_LINES, "propagate", False)
    return AccessLog()


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The lines that were written of calls."""
    pieces = [record.getMessage() for record in caplog.records if record.name == RAW_LINES.name]
    return [line for piece in pieces for line in piece.split("\n")]


def test_line_of_a_call(call_log: AccessLog, caplog: pytest.LogCaptureFixture) -> None:
    """A call is a line of JSON, like any other record."""
    call_log.start()
    call_log.add(CALL)
    call_log.stop()
    [line] = set(lines(caplog))
    assert json.loads(line) == {
        "level": "INFO",
        "logger": "twc_customer_server.telemetry.access_log",
        "pid": os.getpid(),
        "event": "call",
        "request_id": "request-1",
        "tenant": "acme",
        "rpc": "GetCustomer",
        "code": "OK",
        "milliseconds": 1.234,
        "time": datetime(2023, 11, 14, 22, 13, 20, 250_000, UTC).isoformat(),
    }


def test_many_calls(call_log: AccessLog, caplog: pytest.LogCaptureFixture) -> None:
    """Every call has its line, in their order, and no piece is more than a pipe takes at once."""
    call_log.start()
    for number in range(1000):
        call_log.add(CALL._replace(request_id=str(number)))
    call_log.stop()
    written = [json.loads(line)["request_id"] for line in lines(caplog)]
    assert written == [str(number) for number in range(1000)]
    pieces = [len(record.getMessage()) for record in caplog.records]
    assert max(pieces) < 4096
    assert len(pieces) < 100


def test_slow_log(
    call_log: AccessLog, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log that is far behind leaves calls out, and says how many."""
    monkeypatch.setattr(access_log, "_MAX_BUFFERED", 2)
    for _ in range(5):
        call_log.add(CALL)
    call_log.start()
    call_log.stop()
    assert len(lines(caplog)) == 2
    assert caplog.messages[-1] == "the access log is too slow: lines of 3 calls were dropped"


def test_log_level(caplog: pytest.LogCaptureFixture) -> None:
    """Where only warnings are logged, calls are not."""
    with caplog.at_level(logging.WARNING, RAW_LINES.name):
        call_log = AccessLog()
    call_log.start()
    call_log.add(CALL)
    call_log.stop()
    assert lines(caplog) == []
