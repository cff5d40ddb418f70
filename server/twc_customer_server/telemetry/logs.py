"""Configures logging: one JSON object a line, without personal data."""

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

_OWN_PACKAGES = ("twc_customer_server", "twc_customer_gateway")
_STANDARD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({})))

# Writes lines that are formatted already.
RAW_LINES = logging.getLogger("twc_customer_server.lines")


class _WithholdLibraryMessages(logging.Filter):
    """Removes messages and extra fields of libraries, which may quote requests; keeps the place."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] not in _OWN_PACKAGES:
            record.msg = "message of a library withheld (%s:%d)"
            record.args = (record.filename, record.lineno)
            record.exc_text = None
            for name in vars(record).keys() - _STANDARD_ATTRIBUTES:
                delattr(record, name)
        return True


class _Formatter(JsonFormatter):
    """Formats an exception as its type and traceback; its message may hold personal data."""

    def formatException(  # noqa: N802 - logging's name
        self,
        ei: tuple[type[BaseException] | None, BaseException | None, TracebackType | None],
    ) -> str:
        kind, _, trace = ei
        return f"{kind.__name__ if kind else None} at\n" + "".join(traceback.format_tb(trace))


def configure(level: str) -> None:
    """Writes every record of this process, from a level on, to standard output."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Formatter(_FIELDS, style="{", rename_fields=_NAMES, timestamp="time"))
    handler.addFilter(_WithholdLibraryMessages())
    logging.basicConfig(handlers=[handler], force=True)
    set_level(level)
    RAW_LINES.handlers = [logging.StreamHandler(sys.stdout)]
    RAW_LINES.propagate = False


def set_level(level: str) -> None:
    """Writes records from a level on."""
    logging.getLogger().setLevel(level)
