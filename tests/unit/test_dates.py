"""Dates and times: how they are read, checked and cut."""

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from tests.support.steps import ANY_TEXT, EXAMPLES, NOW
from twc_customer_server.customers import fields

IN_2001 = datetime(2001, 5, 28, tzinfo=UTC)

READABLE = {
    "2001-05-28": IN_2001,
    "2000-02-29": datetime(2000, 2, 29, tzinfo=UTC),
    "0001-01-01": datetime(1, 1, 1, tzinfo=UTC),
    "9999-12-31": datetime(9999, 12, 31, tzinfo=UTC),
    "2001-05-28T00:00:00Z": IN_2001,
    "2001-05-28t00:00:00z": IN_2001,
    "2001-05-28 00:00:00Z": IN_2001,
    "2001-05-28T00:00:00+00:00": IN_2001,
    "2001-05-28T00:00:00-00:00": IN_2001,
    "2001-05-28T02:00:00+02:00": IN_2001,
    "2001-05-27T14:15:00-09:45": IN_2001,
    "2001-05-28T00:00:00.5Z": IN_2001,
    "2001-05-28T00:00:00.123456789012Z": IN_2001,
    "2001-05-28T23:59:59+23:59": datetime(2001, 5, 28, 0, 0, 59, tzinfo=UTC),
}

UNREADABLE = [
    "",
    "string",
    "yesterday",
    "28.05.2001",
    "2001-5-28",
    "20010528",
    "2001-148",
    "2001-W22-1",
    "01-05-28",
    "+2001-05-28",
    "2001-02-29",
    "2001-13-01",
    "2001-00-10",
    "2001-01-00",
    "0000-01-01",
    "10000-01-01",
    "２001-05-28",  # noqa: RUF001 - a full-width digit is the case
    "2001-05-28T",
    "2001-05-28T00:00Z",
    "2001-05-28T00:00:00",
    "2001-05-28T00:00:00.Z",
    "2001-05-28T00:00:00,5Z",
    "2001-05-28T00:00:00+0200",
    "2001-05-28T00:00:00+02",
    "2001-05-28T00:00:00 Z",
    "2001-05-28T25:00:00Z",
    "2001-05-28T24:00:00Z",
    "2001-05-28T00:60:00Z",
    "2001-05-28T00:00:61Z",
    "2001-05-28T00:00:00+24:00",
    "2001-05-28T00:00:00+05:99",
    "2001-05-28T00:00:00Z\0",
]

BLANK_AROUND = [" 2001-05-28", "2001-05-28\n", "2001-05-28T00:00:00Z\u00a0"]

# Day first, but not plainly so.
UNREADABLE_BIRTHS = [
    "05-28-2001",
    "29-02-2001",
    "28-5-2001",
    "28-05-01",
    "28/05/2001",
    "28.05.2001",
]

# Dates of birth, and the form in which they are stored.
NORMALIZED = {
    "28-05-2001": "2001-05-28",
    "05-06-2001": "2001-06-05",
    "29-02-2000": "2000-02-29",
    " 28-05-2001\n": "2001-05-28",
    "\t2001-05-28 ": "2001-05-28",
    "2001-05-28T00:00:00Z\u00a0": "2001-05-28T00:00:00Z",
    "2001-05-28 00:00:00.50+02:00": "2001-05-28 00:00:00.50+02:00",
}

BIRTHS = {
    "long ago": "1901-01-01",
    "first year": "0001-01-01",
    "before the first year in UTC": "0001-01-01T00:00:00+14:00",
    "today": "2026-03-04",
    "a moment ago": "2026-03-04T05:06:07Z",
    "a moment ago elsewhere": "2026-03-04T15:06:07+10:00",
}

NOT_YET = {
    "tomorrow": "2026-03-05",
    "in a second": "2026-03-04T05:06:08Z",
    "in a second elsewhere": "2026-03-04T15:06:08+10:00",
    "tomorrow, day first": "05-03-2026",
    "last year": "9999-12-31",
    "after the last year in UTC": "9999-12-31T23:59:59-14:00",
}

# Seconds and nanoseconds, and the nanoseconds that stay.
TIMESTAMPS = {
    "whole second": (1_655_706_092, 0, 0),
    "milliseconds": (1_655_706_092, 358_000_000, 358_000_000),
    "nanoseconds": (1_655_706_092, 358_999_999, 358_000_000),
    "less than a millisecond": (0, 999_999, 0),
    "before 1970": (-1, 999_999_999, 999_000_000),
    "first second of year 1": (-62_135_596_800, 0, 0),
    "last moment of year 9999": (253_402_300_799, 999_999_999, 999_000_000),
}

NOT_TIMESTAMPS = {
    "before year 1": (-62_135_596_801, 0),
    "after year 9999": (253_402_300_800, 0),
    "smallest number": (-(2**63), 0),
    "largest number": (2**63 - 1, 0),
    "negative nanoseconds": (0, -1),
    "a second of nanoseconds": (0, 1_000_000_000),
    "largest nanoseconds": (0, 2**31 - 1),
}

ZONES = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@pytest.mark.parametrize(("text", "expected"), READABLE.items(), ids=READABLE)
def test_date_and_date_time(text: str, expected: datetime) -> None:
    """A calendar date is its first moment in UTC, a date-time its whole second."""
    assert fields.parse_date(text) == expected


@EXAMPLES
@given(st.datetimes(timezones=ZONES), st.sampled_from("Tt "), st.integers(0, 12))
def test_round_trip_of_moment(moment: datetime, separator: str, digits: int) -> None:
    """Any moment that RFC 3339 can write reads back, to the second."""
    fraction = f".{'1234567890123'[:digits]}" if digits else ""
    second = moment.replace(microsecond=0)
    written = second.isoformat(separator)

    assert fields.parse_date(f"{written[:19]}{fraction}{written[19:]}") == second


@EXAMPLES
@given(
    ANY_TEXT | st.from_regex(r"\d\d-\d\d-\d{4}|\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d:\d\d[+-]\d\d:\d\d)?")
)
def test_any_text_as_birth_date(text: str) -> None:
    """Whatever the text, it is a date of birth or something is said to be wrong with it."""
    problems = f"must not be in the future|{re.escape(fields.NOT_A_PAST_DATE)}"
    try:
        once = fields.normalize_past_date(text, NOW)
    except ValueError:
        with pytest.raises(ValueError, match=f"^({problems})$"):
            fields.normalize_past_date(text, NOW)
    else:
        assert fields.normalize_past_date(once, NOW) == once


@pytest.mark.parametrize("text", BIRTHS.values(), ids=BIRTHS)
def test_valid_birth_date(text: str) -> None:
    """A date up to the present moment can be a date of birth."""
    assert fields.normalize_past_date(text, NOW) == text


@pytest.mark.parametrize(("text", "kept"), NORMALIZED.items(), ids=ascii)
def test_form_of_birth_date(text: str, kept: str) -> None:
    """A calendar date has one form, without white space around it; a date-time stays as given."""
    assert fields.normalize_past_date(text, NOW) == kept


def test_birth_date_of_this_moment() -> None:
    """The present moment is not in the future."""
    assert fields.normalize_past_date("2001-05-28T00:00:00Z", IN_2001) == "2001-05-28T00:00:00Z"


@pytest.mark.parametrize("text", NOT_YET.values(), ids=NOT_YET)
def test_future_birth_date(text: str) -> None:
    """A date of birth is not in the future."""
    with pytest.raises(ValueError, match=r"^must not be in the future$"):
        fields.normalize_past_date(text, NOW)


@pytest.mark.parametrize("text", [*UNREADABLE, *UNREADABLE_BIRTHS], ids=ascii)
def test_unreadable_birth_date(text: str) -> None:
    """What cannot be read as a date is answered with what could be."""
    with pytest.raises(ValueError, match=f"^{re.escape(fields.NOT_A_PAST_DATE)}$"):
        fields.normalize_past_date(text, NOW)


@pytest.mark.parametrize("text", [*BLANK_AROUND, "28-05-2001"], ids=ascii)
def test_unreadable_date(text: str) -> None:
    """Elsewhere than in a date of birth a date has no white space and its year first."""
    with pytest.raises(ValueError, match=f"^{re.escape(fields.NOT_A_DATE)}$"):
        fields.parse_date(text)


@pytest.mark.parametrize(("seconds", "nanos", "kept"), TIMESTAMPS.values(), ids=TIMESTAMPS)
def test_precision_of_timestamp(seconds: int, nanos: int, kept: int) -> None:
    """A timestamp keeps its milliseconds and no more."""
    timestamp = Timestamp(seconds=seconds, nanos=nanos)

    assert fields.timestamp_problem(timestamp) is None
    assert timestamp == Timestamp(seconds=seconds, nanos=kept)


@pytest.mark.parametrize(("seconds", "nanos"), NOT_TIMESTAMPS.values(), ids=NOT_TIMESTAMPS)
def test_timestamp_out_of_range(seconds: int, nanos: int) -> None:
    """A timestamp that JSON could not write is refused."""
    timestamp = Timestamp(seconds=seconds, nanos=nanos)

    assert fields.timestamp_problem(timestamp) == "must be a time between the years 1 and 9999"


def test_timestamp_of_present_moment() -> None:
    """The present moment is written with millisecond precision."""
    assert fields.to_timestamp(NOW).ToJsonString() == "2026-03-04T05:06:07.891Z"


@pytest.mark.parametrize(
    ("nanos", "stored"), [(0, "07.001Z"), (999_999, "07.001Z"), (1_000_000, "07.001Z")]
)
def test_whole_second_of_a_client(nanos: int, stored: str) -> None:
    """A whole second is stored as its first millisecond, so that JSON has its digits."""
    time = Timestamp(seconds=1_772_600_767 // 60 * 60 + 7, nanos=nanos)
    assert fields.normalize_timestamp(time) is None
    assert time.ToJsonString().endswith(stored)


def test_timestamp_of_whole_second() -> None:
    """The server's times have a fraction in JSON, a millisecond where it would be none."""
    whole = NOW.replace(microsecond=999)

    assert fields.to_timestamp(whole).ToJsonString() == "2026-03-04T05:06:07.001Z"
    assert fields.to_timestamp(NOW.replace(microsecond=1_000)) == fields.to_timestamp(whole)


@pytest.mark.parametrize(
    "moment",
    [
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(2026, 3, 4, 5, 6, 7, 1_000, tzinfo=UTC),
        datetime(2026, 3, 4, 5, 6, 7, 999_000, tzinfo=UTC),
        datetime(2038, 11, 19, 9, 59, 6, 884_000, tzinfo=UTC),
    ],
    ids=str,
)
def test_milliseconds_of_moment(moment: datetime) -> None:
    """A moment of whole milliseconds loses none of them."""
    since_epoch = moment - datetime(1970, 1, 1, tzinfo=UTC)

    assert fields.to_milliseconds(moment) == since_epoch // timedelta(milliseconds=1)
