"""Logs: one JSON object a line, which never holds what customers are made of."""

import logging
import sys
import traceback
from types import TracebackType

from pythonjsonlogger.json import JsonFormatter

_FIELDS = "{levelname}{name}{process}{message}"
_NAMES = {
    "levelname": "level",
    "name": "logger",
    "process": "pid",
    "message": "event",
    "exc_info": "exception",
}

_OWN = ("twc_customer_server", "twc_customer_gateway")

# Takes lines that are in the log's form already.
LINES = logging.getLogger("twc_customer_server.lines")


class _Withhold(logging.Filter):
    """Takes what libraries say, which may quote what calls carry, and leaves where they say it."""

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith(_OWN):
            record.msg, record.args = "withheld, said at %s:%d", (record.filename, record.lineno)
        return True


class _Formatter(JsonFormatter):
    """Tells of an exception its kind and where it arose; its message may hold personal data."""

    def formatException(  # noqa: N802 - logging's name
        self,
        ei: tuple[type[BaseException] | None, BaseException | None, TracebackType | None],
    ) -> str:
        kind, _, trace = ei
        return f"{kind.__name__ if kind else None} at\n" + "".join(traceback.format_tb(trace))


def configure(level: str) -> None:
    """Has everything that this process logs, from a level on, go to standard output."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Formatter(_FIELDS, style="{", rename_fields=_NAMES, timestamp="time"))
    handler.addFilter(_Withhold())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    LINES.handlers = [logging.StreamHandler(sys.stdout)]
    LINES.propagate = False
