"""Reads the ids by which logs, errors and traces have a call: its request's and its trace's."""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

# The headers that have them.
HEADERS = frozenset(("x-request-id", "traceparent"))

_is_request_id = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII).fullmatch

# W3C Trace Context. Version ff and ids of zeros are invalid; later versions may have more fields.
_parse_traceparent = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?P<trace_id>(?!0{32})[0-9a-f]{32})"
    r"-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?P<more>-.*)?"
).fullmatch


class TraceIds(NamedTuple):
    """The trace that a call belongs to, and the call's span; empty if there is none."""

    trace_id: str = ""
    span_id: str = ""


NO_TRACE = TraceIds()

# Tells the trace of a call by its headers, on the thread that runs it.
FindTrace = Callable[[Mapping[str, str]], TraceIds]


def request_id(headers: Mapping[str, str]) -> str:
    """Returns the id that the caller gives the request, if it gives one that is well-formed."""
    given = headers.get("x-request-id")
    return given if given and _is_request_id(given) else ""


def callers_trace(headers: Mapping[str, str]) -> TraceIds:
    """Returns the trace that the caller names, if it names one."""
    given = headers.get("traceparent")
    if not given:
        return NO_TRACE
    parts = _parse_traceparent(given)
    if not parts or (parts["version"] == "00" and parts["more"]):
        return NO_TRACE
    return TraceIds(parts["trace_id"])
