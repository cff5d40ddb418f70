"""What single values may be, by the service's own functions: the same for all models."""

from datetime import UTC, datetime
from typing import Literal

from pydantic_core import PydanticCustomError
from twc.customer.v2.customer_pb2 import Attribute

from bench.peers import rules
from twc_customer_server.customers import addresses, attributes, customer, fields

State = Literal["disabled", "invited", "enabled", "declined"]
Level = Literal["single_opt_in", "confirmed_opt_in", "unknown"]
ValueType = Literal["INTEGER", "NUMBER", "STRING", "BLOB", "DATE"]

# As fields.text_problem has it.
PRINTABLE = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$"


def wrong(message: str) -> ValueError:
    """An error that Pydantic knows: of others it keeps the frames, and django-ninja for ever."""
    return PydanticCustomError("rule", "{message}", {"message": message})


def check_email(value: str) -> str:
    """An e-mail address. Raises ValueError."""
    if not fields.is_email(value):
        raise wrong(fields.NOT_AN_EMAIL)
    return value


def check_reference(value: str) -> str:
    """A reference that can stand in a path. Raises ValueError."""
    if value in customer._PATH_STEPS:  # noqa: SLF001 - the service's own
        raise wrong("must not be . or .., which URLs take for steps in a path")
    return value


def check_birth(value: str) -> str:
    """A date of birth, or a blank. Raises ValueError."""
    if fields.trim(value) and (told := fields.birth_date_problem(value, datetime.now(UTC))):
        raise wrong(told)
    return value


def check_moment(value: str) -> str:
    """A date-time as the service writes it. Raises ValueError."""
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise wrong(fields.NOT_A_DATE) from None
    if moment.tzinfo is None:
        raise wrong("must say its zone, as in 2001-05-28T00:00:00Z")
    return rules.written(moment)


def check_country(value: str) -> str | None:
    """A country code in upper case, or None for a blank. Raises ValueError."""
    code = value.strip().upper()
    if code and code not in addresses._COUNTRIES:  # noqa: SLF001 - the service's own
        raise wrong(addresses.NOT_A_COUNTRY)
    return code or None


def check_value(value: str, value_type: str | None) -> None:
    """Raises ValueError if a text is no value of a type."""
    number = Attribute.ValueType.Value(value_type or "STRING")
    reads, described = attributes._PARSERS[number]  # noqa: SLF001 - the service's own
    if not reads(value):
        raise wrong(f"must be {described}")
