"""The service's own rules for single values, as all peers use them.

This is the only module of the peers that imports rules of the service.
"""

from datetime import UTC, datetime
from typing import Literal

from pydantic_core import PydanticCustomError
from twc.customer.v2.customer_pb2 import Attribute

from twc_customer_server.api.lookup import _key
from twc_customer_server.customers import emails, fields
from twc_customer_server.customers.addresses import _COUNTRIES, EMPTY, MAX_ADDRESSES, NOT_A_COUNTRY
from twc_customer_server.customers.attributes import _PARSERS, MAX_ATTRIBUTES, MAX_GROUPS
from twc_customer_server.customers.customer import _PATH_STEPS, MAX_TAX_EXEMPTIONS, NOT_ACCEPTED
from twc_customer_server.customers.fields import (
    MAX_EMAIL_LENGTH,
    MAX_TEXT_LENGTH,
    trim,
)
from twc_customer_server.customers.phones import to_e164
from twc_customer_server.storage.rows import email_key, exact_key, name_key

__all__ = [
    "EMPTY",
    "MAX_ADDRESSES",
    "MAX_ATTRIBUTES",
    "MAX_EMAIL_LENGTH",
    "MAX_GROUPS",
    "MAX_TAX_EXEMPTIONS",
    "MAX_TEXT_LENGTH",
    "NOT_ACCEPTED",
    "to_e164",
    "trim",
]

State = Literal["disabled", "invited", "enabled", "declined"]
OptinLevel = Literal["single_opt_in", "confirmed_opt_in", "unknown"]
ValueType = Literal["INTEGER", "NUMBER", "STRING", "BLOB", "DATE"]

# The phone of an address, which the service does not normalize.
PHONE_LENGTH = 64
# The characters that the service accepts in texts.
PRINTABLE = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$"


def rule_error(message: str) -> ValueError:
    """Returns an error for a validator of Pydantic to raise.

    Pydantic adds words of its own to the message of a plain ValueError.
    """
    return PydanticCustomError("rule", "{message}", {"message": message})


def check_email(value: str) -> str:
    """Checks an e-mail address. Raises ValueError."""
    if problem := emails.problem(value):
        raise rule_error(problem)
    return value


def check_reference(value: str) -> str:
    """Checks that a reference can be part of a path. Raises ValueError."""
    if value in _PATH_STEPS:
        raise rule_error("must not be . or .., which URLs take for steps in a path")
    return value


def check_birth(value: str) -> str:
    """Checks and normalizes a date of birth, which may be blank. Raises ValueError."""
    if not trim(value):
        return value
    try:
        return fields.normalize_past_date(value, datetime.now(UTC))
    except ValueError as error:
        raise rule_error(str(error)) from None


def check_moment(value: str) -> str:
    """Checks a date-time, and returns it as the service formats it. Raises ValueError."""
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise rule_error(fields.NOT_A_DATE) from None
    if moment.tzinfo is None:
        raise rule_error("must say its zone, as in 2001-05-28T00:00:00Z")
    return format_moment(moment)


def format_moment(moment: datetime) -> str:
    """Formats a moment as in JSON: in UTC, with milliseconds if there are any."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")[:-6].replace(".000", "") + "Z"


def check_country(value: str) -> str | None:
    """Returns a country code in upper case, None for a blank. Raises ValueError."""
    code = value.strip().upper()
    if code and code not in _COUNTRIES:
        raise rule_error(NOT_A_COUNTRY)
    return code or None


def check_value(value: str, value_type: str | None) -> None:
    """Checks that a text is a value of a type. Raises ValueError."""
    number = Attribute.ValueType.Value(value_type or "STRING")
    is_readable, description = _PARSERS[number]
    if not is_readable(value):
        raise rule_error(f"must be {description}")


def search_key(field: str, value: str, region: str | None) -> str:
    """Returns the stored form of a lookup's value. Raises ValueError."""
    return _key(field, value, region)


def stored_email_key(email: str) -> str:
    """Returns the key by which an e-mail address is unique."""
    return exact_key(email_key(email))


def stored_name_key(name: str) -> str | None:
    """Returns the key by which a name is found; None for a blank."""
    return name_key(name) or None
