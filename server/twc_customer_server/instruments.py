"""Chooses the parts of a server that exist twice: as they are, and so that they trace calls."""

import os
from collections.abc import Callable
from typing import NamedTuple

from twc_customer_server.databases import ENGINES, Engines
from twc_customer_server.middleware.rpc import NOT_TRACED, Tracing
from twc_customer_server.telemetry import otel_settings
from twc_customer_server.telemetry.access_log import OnCallEnd


class Instruments(NamedTuple):
    """Makes databases and handlers, is called when a call ends, and stops at last."""

    engines: Engines
    rpcs: Tracing
    on_call_end: Callable[[OnCallEnd], OnCallEnd]
    stop: Callable[[], object]


UNTRACED = Instruments(ENGINES, NOT_TRACED, lambda it: it, lambda: None)


def instruments() -> Instruments:
    """Returns what traces calls if the environment asks for that, which begins to export then."""
    if not otel_settings.is_asked(os.environ):
        return UNTRACED
    from twc_customer_server import traced  # noqa: PLC0415 - it loads a library

    return traced.instruments()
