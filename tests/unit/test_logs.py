"""Log records: own ones in full, those of libraries without what they may quote."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from twc_customer_server.telemetry import logs

PRIVATE = "ada@example.com"


@contextmanager
def configured() -> Iterator[None]:
    """Configures logging, and restores it."""
    root, raw = logging.getLogger(), logs.RAW_LINES
    handlers, level = root.handlers[:], root.level
    raw_handlers, propagate = raw.handlers[:], raw.propagate
    logs.configure("DEBUG")
    try:
        yield
    finally:
        root.handlers[:], raw.handlers[:] = handlers, raw_handlers
        root.setLevel(level)
        raw.propagate = propagate


def logged(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Returns the one line that was logged."""
    [line] = capsys.readouterr().out.splitlines()
    fields: dict[str, Any] = json.loads(line)
    return fields


@pytest.mark.parametrize(
    "name", ["twc_customer_server", "twc_customer_server.app", "twc_customer_gateway.supervisor"]
)
def test_own_record(capsys: pytest.CaptureFixture[str], name: str) -> None:
    """A record of the service's own packages is logged with its message and extra fields."""
    with configured():
        logging.getLogger(name).info("started %d workers", 2, extra={"rpc": "GetCustomer"})
    line = logged(capsys)
    assert (line["level"], line["logger"], line["event"]) == ("INFO", name, "started 2 workers")
    assert line["rpc"] == "GetCustomer"


@pytest.mark.parametrize(
    "name",
    [
        "grpc._server",
        "peewee",
        "twc_customer_serverless.http",
        "twc_customer_server_plugin",
        "serverless_sdk.http",
        "gateway",
        "root",
    ],
)
def test_library_record(capsys: pytest.CaptureFixture[str], name: str) -> None:
    """A record of any other logger keeps its place, without message, fields and exception text."""
    with configured():
        try:
            int(PRIVATE)
        except ValueError:
            logger = logging.getLogger(name)
            logger.exception("refused %s", PRIVATE, extra={"email": PRIVATE})
    line = logged(capsys)
    assert line["logger"] == name
    assert line["event"].startswith("message of a library withheld (test_logs.py:")
    assert line["exception"].startswith("ValueError at\n")
    assert PRIVATE not in str(line)


def test_raw_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A line that is formatted already is written as it is."""
    with configured():
        logs.RAW_LINES.info('{"event": "call"}')
    assert capsys.readouterr().out == '{"event": "call"}\n'
