"""Puts together what traces calls. Imported only if they are traced."""

from functools import partial

from twc_customer_server.databases import Engines
from twc_customer_server.instruments import Instruments
from twc_customer_server.middleware.rpc import Tracing
from twc_customer_server.middleware.traced import TracedHandler, describing, find_trace
from twc_customer_server.storage.traced import TracedPostgres, TracedReplica, TracedSqlite
from twc_customer_server.telemetry.tracing import Exporting


def instruments() -> Instruments:
    """Returns what traces calls, and begins to export."""
    exporting = Exporting()
    tracer = exporting.tracer
    return Instruments(
        engines=Engines(
            sqlite=partial(TracedSqlite, tracer),
            postgres=partial(TracedPostgres, tracer),
            replica=partial(TracedReplica, tracer),
        ),
        rpcs=Tracing(partial(TracedHandler, tracer), find_trace),
        on_call_end=describing,
        stop=exporting.stop,
    )
