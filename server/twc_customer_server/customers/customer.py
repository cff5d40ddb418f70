"""Rules of a whole customer: its defaults, its normal forms, and every check."""

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import NamedTuple

from twc.customer.v2 import customer_pb2 as pb

from twc_customer_server.customers import addresses, attributes, contact, dates, text
from twc_customer_server.errors import InvalidInput, Violation

MAX_CUSTOMER_BYTES = 256 * 1024
MAX_TAX_EXEMPTIONS = 100

# A blank value of one of these says that there is none.
_BLANK_IS_NONE = ("customer_ref", "email", "mobile", "phone", "dob")

_STEPS = (".", "..")

_DEFINED_STATES = frozenset(pb.Customer.State.values())
_DEFINED_LEVELS = frozenset(pb.Customer.MarketingOptinLevel.values())
_STATES = "must be disabled, invited, enabled or declined"
_LEVELS = "must be single_opt_in, confirmed_opt_in or unknown"


class Circumstances(NamedTuple):
    """What the rules must know beside the customer.

    `region` is the tenant's default region. `known` are the ids of the
    addresses, and `max_bytes` the size, that the customer may have because it
    has them already.
    """

    now: datetime
    region: str | None = None
    known: Collection[str] = ()
    max_bytes: int = MAX_CUSTOMER_BYTES


def settle(customer: pb.Customer, default: pb.Address | None, given: Circumstances) -> None:
    """Brings a customer into the form that is stored, in place.

    `default` is the address that the request wants as the default, if it says
    so by the field of that name. Raises InvalidInput with everything that
    breaks a rule, a field at most once.
    """
    _fill(customer)
    found = [
        *text.check(customer),
        *addresses.settle(customer, default, given.known),
        *_check_fields(customer, given.now),
        *_settle_phones(customer, given.region),
        *attributes.check(customer),
    ]
    violations: dict[str, Violation] = {}
    for violation in found:
        violations.setdefault(violation.field, violation)
    if not violations and customer.ByteSize() > given.max_bytes:
        violations["customer"] = Violation(
            "customer", f"must be at most {MAX_CUSTOMER_BYTES >> 10} KiB"
        )
    if violations:
        raise InvalidInput([*violations.values()])


def settle_marketing(customer: pb.Customer) -> None:
    """Makes the opt-in level agree with whether the customer accepts marketing."""
    if customer.marketing_optin_level not in _DEFINED_LEVELS:
        return  # which `settle` refuses
    if not customer.accepts_marketing:
        customer.ClearField("marketing_optin_level")
    elif not customer.marketing_optin_level:
        customer.marketing_optin_level = pb.Customer.unknown


def _check_fields(customer: pb.Customer, now: datetime) -> Iterator[Violation]:
    if not customer.email:
        yield Violation("email", "is required, and " + contact.NOT_AN_EMAIL)
    elif not contact.is_email(customer.email):
        yield Violation("email", contact.NOT_AN_EMAIL)
    if customer.customer_ref in _STEPS:
        yield Violation("customerRef", "must not be . or .., which URLs take for steps in a path")
    if customer.dob and (wrong := dates.check_birth(customer.dob, now)):
        yield Violation("dob", wrong)
    if customer.customerState not in _DEFINED_STATES:
        yield Violation("customer_state", _STATES)
    if customer.marketing_optin_level not in _DEFINED_LEVELS:
        yield Violation("marketing_optin_level", _LEVELS)
    if customer.HasField("marketing_preferences_updated_at") and (
        wrong := dates.check_timestamp(customer.marketing_preferences_updated_at)
    ):
        yield Violation("marketing_preferences_updated_at", wrong)
    yield from _tax_exemptions(customer)


def _fill(customer: pb.Customer) -> None:
    customer.email = text.trim(customer.email)
    for field in _BLANK_IS_NONE:
        if not text.trim(getattr(customer, field)):
            customer.ClearField(field)
    if not customer.HasField("active"):
        customer.active = True
    if not customer.customerState:
        customer.customerState = pb.Customer.disabled
    for field in ("accepts_marketing", "tax_exempt", "verified_email"):
        if not customer.HasField(field):
            setattr(customer, field, False)
    settle_marketing(customer)


def _settle_phones(customer: pb.Customer, region: str | None) -> Iterator[Violation]:
    region = customer.default_address.country_code or region
    for field in ("mobile", "phone"):
        if number := getattr(customer, field):
            try:
                setattr(customer, field, contact.to_e164(number, region))
            except ValueError as error:
                yield Violation(field, str(error))


def _tax_exemptions(customer: pb.Customer) -> Iterator[Violation]:
    if len(customer.tax_exemptions) > MAX_TAX_EXEMPTIONS:
        yield Violation("taxExemptions", f"must hold at most {MAX_TAX_EXEMPTIONS} texts")
        return
    for index, exemption in enumerate(customer.tax_exemptions):
        if wrong := text.describe(exemption) if exemption else "must not be empty":
            yield Violation(f"taxExemptions[{index}]", wrong)
