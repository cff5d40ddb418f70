"""Which ids logs and errors have of a call, by its headers."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.steps import EXAMPLES
from twc_customer_server.telemetry.call_ids import callers_trace, request_id

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

TRACEPARENTS: dict[str, tuple[str, bool]] = {
    "sampled": (f"00-{TRACE}-{SPAN}-01", True),
    "not sampled": (f"00-{TRACE}-{SPAN}-00", True),
    "a later version": (f"cc-{TRACE}-{SPAN}-01", True),
    "a later version with more": (f"cc-{TRACE}-{SPAN}-01-what-the-future-holds", True),
    "more in this version": (f"00-{TRACE}-{SPAN}-01-more", False),
    "the version that is none": (f"ff-{TRACE}-{SPAN}-01", False),
    "zeros as trace": (f"00-{'0' * 32}-{SPAN}-01", False),
    "zeros as span": (f"00-{TRACE}-{'0' * 16}-01", False),
    "upper case": (f"00-{TRACE.upper()}-{SPAN}-01", False),
    "too short": (f"00-{TRACE[1:]}-{SPAN}-01", False),
    "no flags": (f"00-{TRACE}-{SPAN}", False),
    "a line feed": (f"00-{TRACE}-{SPAN}-01\n", False),
    "two headers": (f"00-{TRACE}-{SPAN}-01, 00-{TRACE}-{SPAN}-01", False),
    "empty": ("", False),
}


@pytest.mark.parametrize(("given_value", "is_valid"), TRACEPARENTS.values(), ids=TRACEPARENTS)
def test_traceparent(given_value: str, *, is_valid: bool) -> None:
    """The trace is that of a `traceparent` that is valid by W3C Trace Context."""
    assert callers_trace({"traceparent": given_value}) == (TRACE if is_valid else "", "")


@EXAMPLES
@given(st.text())
def test_any_traceparent(text: str) -> None:
    """Whatever a caller sends, a trace id has 32 hexadecimal digits, or there is none."""
    trace_id = callers_trace({"traceparent": text}).trace_id

    assert len(trace_id) in {0, 32}
    assert set(trace_id) <= set(string.hexdigits)


def test_no_headers() -> None:
    """A call without the headers has neither id."""
    assert callers_trace({}) == ("", "")
    assert request_id({}) == ""


@EXAMPLES
@given(st.text())
def test_any_request_id(text: str) -> None:
    """A request id is the caller's, if it has nothing that must be escaped, or none."""
    found = request_id({"x-request-id": text})

    assert found in {"", text}
    assert found.isascii()
    assert len(found) <= 128
