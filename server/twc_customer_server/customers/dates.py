"""Dates and times: how they are read, and to what precision they are kept."""

import re
from datetime import UTC, date, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp

NOT_A_DATE = (
    "must be a date such as 2001-05-28 or an RFC 3339 date-time such as 2001-05-28T00:00:00Z"
)

_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII).fullmatch
_DATE_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:[0-5]\d)", re.ASCII
).fullmatch

# The years that RFC 3339, and so JSON, can write.
_FIRST_SECOND = int(datetime(1, 1, 1, tzinfo=UTC).timestamp())
_LAST_SECOND = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_NANOS_PER_SECOND = 1_000_000_000
_NANOS_PER_MILLI = 1_000_000


def read(text: str) -> datetime:
    """Reads a calendar date, as its first moment in UTC, or an RFC 3339 date-time.

    Raises ValueError if the text is neither.
    """
    if _DATE(text):
        return datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
    if parts := _DATE_TIME(text):
        day, clock, _, zone = parts.groups()
        if clock.endswith(":60"):  # A leap second, which Python does not know.
            clock = clock[:-2] + "59"
        return datetime.fromisoformat(f"{day}T{clock}{zone.upper()}")
    raise ValueError(NOT_A_DATE)


def check_birth(text: str, now: datetime) -> str | None:
    """Says what is wrong with a date of birth, or None if nothing is."""
    try:
        return "must not be in the future" if read(text) > now else None
    except ValueError:
        return NOT_A_DATE


def check_timestamp(timestamp: Timestamp) -> str | None:
    """Cuts a timestamp to milliseconds; says what is wrong with it, or None if nothing is."""
    if not (
        _FIRST_SECOND <= timestamp.seconds <= _LAST_SECOND
        and 0 <= timestamp.nanos < _NANOS_PER_SECOND
    ):
        return "must be a time between the years 1 and 9999"
    timestamp.nanos -= timestamp.nanos % _NANOS_PER_MILLI
    return None


def check_milliseconds(*times: int) -> None:
    """Refuses what is no time, in milliseconds since the Unix epoch. Raises ValueError."""
    if not all(_FIRST_SECOND <= time / 1000 <= _LAST_SECOND for time in times):
        raise ValueError("must be times between the years 1 and 9999")


def to_timestamp(moment: datetime) -> Timestamp:
    """Writes a moment with millisecond precision."""
    timestamp = Timestamp()
    timestamp.FromMilliseconds(to_milliseconds(moment))
    return timestamp


def to_milliseconds(moment: datetime) -> int:
    """The milliseconds from the Unix epoch to a moment."""
    return (moment - _EPOCH) // _MILLISECOND
