"""Rules of single fields: texts, dates and times."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from operator import attrgetter, gt
from typing import NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp
from twc.customer.v2 import customer_pb2 as pb

from twc_customer_server.errors import Violation

MAX_TEXT_LENGTH = 1024
MAX_EMAIL_LENGTH = 254
_MAX_LENGTHS = {
    pb.Customer.DESCRIPTOR.fields_by_name["email"]: MAX_EMAIL_LENGTH,
    pb.Address.DESCRIPTOR.fields_by_name["email"]: MAX_EMAIL_LENGTH,
    pb.Address.DESCRIPTOR.fields_by_name["phone"]: 64,
}

# The server sets these; input is ignored.
_SERVER_FIELDS = {"id", "customer_id", "merged_into"}

# NUL and the other control characters that no person types; PostgreSQL cannot
# store NUL at all.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]").search

# All white space but control characters, which must be found and refused.
_SPACE = "".join(
    character
    for character in map(chr, range(0x3001))
    if character.isspace() and not _CONTROL(character)
)

# The rules stop at so many violations of one customer; the details of an error
# have room for about half of them.
MAX_VIOLATIONS = 100

# Characters of a caller's text that an error message repeats.
_SHOWN_LENGTH = 64

NOT_A_DATE = (
    "must be a date such as 2001-05-28 or an RFC 3339 date-time such as 2001-05-28T00:00:00Z"
)
NOT_A_PAST_DATE = (
    "must be a date such as 2001-05-28 or 28-05-2001, day first, "
    "or an RFC 3339 date-time such as 2001-05-28T00:00:00Z"
)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII).fullmatch
_DAY_FIRST = re.compile(r"(\d\d)-(\d\d)-(\d{4})", re.ASCII).fullmatch
_DATE_TIME = re.compile(
    # Python 3.14 would take 24:00:00 for the midnight that follows, which RFC 3339 does not know.
    r"(\d{4}-\d\d-\d\d)[Tt ]((?:[01]\d|2[0-3]):\d\d:\d\d)(?:\.(\d++))?([Zz]|[+-]\d\d:[0-5]\d)",
    re.ASCII,
).fullmatch

# The range of years that RFC 3339, and so JSON, can express.
MIN_SECONDS = int(datetime(1, 1, 1, tzinfo=UTC).timestamp())
MAX_SECONDS = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp())
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_NANOS_PER_SECOND = 1_000_000_000
_NANOS_PER_MILLI = 1_000_000
_MILLIS_PER_SECOND = 1_000


def text_problem(text: str, max_length: int = MAX_TEXT_LENGTH) -> str | None:
    """Returns the rule that a text breaks, or None."""
    if len(text) > max_length:
        return f"must be at most {max_length:,} characters long, has {len(text):,}"
    if _CONTROL(text):
        return "must not hold control characters other than tab and line breaks"
    return None


def are_valid_texts(texts: Sequence[str]) -> bool:
    """Checks several texts at once, by the rules of `text_problem`."""
    return max(map(len, texts)) <= MAX_TEXT_LENGTH and not _CONTROL("".join(texts))


def check_texts(message: Message, path: str = "") -> list[Violation]:
    """Checks every text field of a message, not those of the messages within it.

    `path` precedes the names of the fields.
    """
    fields = _TEXT_FIELDS[type(message)]
    texts = fields.values(message)
    # Nearly always all are valid, and checking them together is cheap.
    if not any(map(gt, map(len, texts), fields.max_lengths)) and not _CONTROL("".join(texts)):
        return []
    return [
        Violation(path + json_name, problem)
        for text, json_name, max_length in zip(
            texts, fields.json_names, fields.max_lengths, strict=True
        )
        if (problem := text_problem(text, max_length))
    ]


def has_text(message: Message) -> bool:
    """Tells whether any text field of a message is set and not empty."""
    return any(_TEXT_FIELDS[type(message)].values(message))


def trim(text: str) -> str:
    """Removes white space from both ends of a text."""
    return text.strip(_SPACE)


def shorten(text: str) -> str:
    """Truncates a text for an error message."""
    return text if len(text) <= _SHOWN_LENGTH else text[:_SHOWN_LENGTH] + "…"


def map_entry_path(path: str, key: str) -> str:
    """Returns the path of a map's entry."""
    return f'{path}["{shorten(key)}"]'


def parse_date(text: str) -> datetime:
    """Parses a calendar date, as its first moment in UTC, or an RFC 3339 date-time.

    Raises ValueError if the text is neither, or longer than a text may be.
    """
    if len(text) > MAX_TEXT_LENGTH:
        raise ValueError(NOT_A_DATE)
    if _DATE(text):
        return datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
    if parts := _DATE_TIME(text):
        day, clock, _, zone = parts.groups()
        if clock.endswith(":60"):  # A leap second, which Python does not know.
            clock = clock[:-2] + "59"
        return datetime.fromisoformat(f"{day}T{clock}{zone.upper()}")
    raise ValueError(NOT_A_DATE)


def normalize_past_date(text: str, now: datetime) -> str:
    """Returns a date of the past without white space around it, a calendar date as `yyyy-MM-dd`.

    Raises ValueError with the rule that it breaks.
    """
    text = trim(text)
    if text[2:3] == "-" and (parts := _DAY_FIRST(text)):
        text = "-".join(reversed(parts.groups()))
    try:
        moment = parse_date(text)
    except ValueError:
        raise ValueError(NOT_A_PAST_DATE) from None
    if moment > now:
        raise ValueError("must not be in the future")
    return text


def timestamp_problem(timestamp: Timestamp) -> str | None:
    """Truncates a timestamp to milliseconds; returns the rule that it breaks, or None."""
    if not (
        MIN_SECONDS <= timestamp.seconds <= MAX_SECONDS and 0 <= timestamp.nanos < _NANOS_PER_SECOND
    ):
        return "must be a time between the years 1 and 9999"
    timestamp.nanos -= timestamp.nanos % _NANOS_PER_MILLI
    return None


def normalize_timestamp(timestamp: Timestamp) -> str | None:
    """Makes a timestamp one that is stored, in place; returns the rule that it breaks, or None.

    Beside what `timestamp_problem` does, a whole second becomes its first
    millisecond, as in `to_timestamp`.
    """
    problem = timestamp_problem(timestamp)
    if problem is None and not timestamp.nanos:
        timestamp.nanos = _NANOS_PER_MILLI
    return problem


def to_timestamp(moment: datetime, *earlier: Timestamp) -> Timestamp:
    """Converts a moment of the server's to a timestamp of millisecond precision.

    It is later than all `earlier` ones, also if the clock was set back since. A
    whole second becomes its first millisecond, because JSON would have no
    fraction, which is hard to parse where all other times have one.
    """
    timestamp = Timestamp()
    milliseconds = max([to_milliseconds(moment), *(it.ToMilliseconds() + 1 for it in earlier)])
    timestamp.FromMilliseconds(milliseconds + (milliseconds % _MILLIS_PER_SECOND == 0))
    return timestamp


def to_milliseconds(moment: datetime) -> int:
    """Converts a moment to milliseconds since the Unix epoch."""
    return (moment - _EPOCH) // _MILLISECOND


class _TextFields(NamedTuple):
    """The text fields of a message: a getter of all values, and the name and limit of each."""

    values: Callable[[Message], tuple[str, ...]]
    json_names: tuple[str, ...]
    max_lengths: tuple[int, ...]


def _text_fields(message: Descriptor) -> _TextFields:
    fields = [
        field
        for field in message.fields
        if field.type == FieldDescriptor.TYPE_STRING
        and not field.is_repeated
        and field.name not in _SERVER_FIELDS
    ]
    return _TextFields(
        _getter([field.name for field in fields]),
        tuple(field.json_name for field in fields),
        tuple(_MAX_LENGTHS.get(field, MAX_TEXT_LENGTH) for field in fields),
    )


def _getter(names: Sequence[str]) -> Callable[[Message], tuple[str, ...]]:
    if len(names) > 1:
        return attrgetter(*names)
    return lambda message: tuple(getattr(message, name) for name in names)


_TEXT_FIELDS = {
    GetMessageClass(message): _text_fields(message)
    for message in pb.DESCRIPTOR.message_types_by_name.values()
}
