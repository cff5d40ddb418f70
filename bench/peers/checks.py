"""What single values may be, by the service's own functions: the same for all models."""

from datetime import UTC, datetime
from typing import Literal

from twc.customer.v2.customer_pb2 import Attribute

from bench.peers import rules
from server.rules import addresses, attributes, contact, customer, dates, text

State = Literal["disabled", "invited", "enabled", "declined"]
Level = Literal["single_opt_in", "confirmed_opt_in", "unknown"]
ValueType = Literal["INTEGER", "NUMBER", "STRING", "BLOB", "DATE"]

# As text.describe has it.
PRINTABLE = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$"


def check_email(value: str) -> str:
    """An e-mail address. Raises ValueError."""
    if not contact.is_email(value):
        raise ValueError(contact.NOT_AN_EMAIL)
    return value


def check_reference(value: str) -> str:
    """A reference that can stand in a path. Raises ValueError."""
    if value in customer._STEPS:  # noqa: SLF001 - the service's own
        raise ValueError("must not be . or .., which URLs take for steps in a path")
    return value


def check_birth(value: str) -> str:
    """A date of birth, or a blank. Raises ValueError."""
    if text.trim(value) and (wrong := dates.check_birth(value, datetime.now(UTC))):
        raise ValueError(wrong)
    return value


def check_moment(value: str) -> str:
    """A date-time as the service writes it. Raises ValueError."""
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError("must say its zone, as in 2001-05-28T00:00:00Z")
    return rules.written(moment)


def check_country(value: str) -> str | None:
    """A country code in upper case, or None for a blank. Raises ValueError."""
    code = value.strip().upper()
    if code and code not in addresses._COUNTRIES:  # noqa: SLF001 - the service's own
        raise ValueError(addresses.NOT_A_COUNTRY)
    return code or None


def check_value(value: str, value_type: str | None) -> None:
    """Raises ValueError if a text is no value of a type."""
    number = Attribute.ValueType.Value(value_type or "STRING")
    reads, described = attributes._READABLE[number]  # noqa: SLF001 - the service's own
    if not reads(value):
        raise ValueError(f"must be {described}")
