"""Rules of a whole customer: its defaults, normal forms and checks, and how one is created."""

import math
from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from functools import cache, partial
from itertools import chain, islice

from twc.customer.v2 import customer_pb2 as pb
from uuid_utils import uuid7

from twc_customer_server.customers import addresses, attributes, emails, fields, phones
from twc_customer_server.customers.context import MAX_CUSTOMER_BYTES, ValidationContext
from twc_customer_server.errors import InvalidInput, Violation

MAX_TAX_EXEMPTIONS = 100

# The server sets these; input is ignored.
SERVER_FIELDS = frozenset({"id", "created_date", "last_modified_date", "merged_into"})

# A blank value of one of these counts as not set.
_UNSET_IF_BLANK = (
    "customer_ref",
    "alternate_customer_ref",
    "email",
    "mobile",
    "phone",
    "dob",
    "member_since",
)

_PATH_STEPS = (".", "..")
_REFERENCES = {"customer_ref": "customerRef", "alternate_customer_ref": "alternateCustomerRef"}
_PAST_DATES = {"dob": "dob", "member_since": "memberSince"}

_DEFINED_STATES = frozenset(pb.Customer.State.values())
_DEFINED_LEVELS = frozenset(pb.Customer.MarketingOptinLevel.values())
_STATES = "must be disabled, invited, enabled or declined"
_LEVELS = "must be single_opt_in, confirmed_opt_in or unknown"
NOT_ACCEPTED = "must not be set unless accepts_marketing is true"


def prepare_new(customer: pb.Customer, context: ValidationContext) -> None:
    """Validates a request's new customer and brings it, in place, into the stored form.

    Ids and dates are left to `set_server_fields`. Raises InvalidInput.
    """
    stated = customer.HasField("accepts_marketing") or bool(customer.marketing_optin_level)
    if stated and not customer.HasField("marketing_preferences_updated_at"):
        customer.marketing_preferences_updated_at.CopyFrom(fields.to_timestamp(context.now))
    normalize_and_validate(customer, requested_default_address(customer), context)
    for field in SERVER_FIELDS:
        customer.ClearField(field)
    clear_unknown_ids(customer, known_ids=())


def set_server_fields(customer: pb.Customer, now: datetime) -> None:
    """Sets the date of modification and, where they are missing, ids and the date of creation.

    Each modification has a later date than the one before, whatever the clock says. A
    customer that was deleted by a merge, and is live again, is merged into none.
    """
    if customer.id:
        modified = fields.to_timestamp(now, customer.created_date, customer.last_modified_date)
        customer.ClearField("merged_into")
    else:
        customer.id = str(uuid7())
        modified = fields.to_timestamp(now)
        customer.created_date.CopyFrom(modified)
    customer.last_modified_date.CopyFrom(modified)
    for address in customer.addresses:
        address.id = address.id or str(uuid7())
        address.customer_id = customer.id
        if address.default_address:
            customer.default_address.CopyFrom(address)


def normalize_and_validate(
    customer: pb.Customer, default: pb.Address | None, context: ValidationContext
) -> None:
    """Brings a customer, in place, into the form that is stored.

    `default` is the address that the request's field `default_address` asks
    for, if any. Raises InvalidInput with the first violations, at most one a field.
    """
    _fill_defaults(customer, context.known_level)
    rules = chain(
        fields.check_texts(customer),
        addresses.normalize_and_validate(customer, default, context),
        _normalize_fields(customer, context),
        _normalize_phones(customer, context),
        attributes.check(customer) if customer.attribute_groups else (),
    )
    found = [*islice(rules, context.max_violations)]
    violations: dict[str, Violation] = {}
    for violation in found:
        violations.setdefault(violation.field, violation)
    if not violations and customer.ByteSize() > context.max_bytes:
        limit = f"must be at most {MAX_CUSTOMER_BYTES >> 10} KiB"
        violations["customer"] = Violation("customer", limit)
    if violations:
        is_cut = len(found) == context.max_violations
        raise InvalidInput([*violations.values()], is_cut=is_cut)


def normalize_marketing(customer: pb.Customer, known_level: int) -> None:
    """Makes the opt-in level agree with `accepts_marketing`.

    A customer who accepts no marketing loses `known_level`, which is stored;
    another level is left for `normalize_and_validate` to refuse.
    """
    if not customer.accepts_marketing:
        if customer.marketing_optin_level in (0, known_level):
            customer.ClearField("marketing_optin_level")
    elif not customer.marketing_optin_level:
        customer.marketing_optin_level = pb.Customer.unknown


def requested_default_address(customer: pb.Customer) -> pb.Address | None:
    """Returns a copy of the address that a request's field `default_address` holds, if any."""
    if not customer.HasField("default_address"):
        return None
    default = pb.Address()
    default.CopyFrom(customer.default_address)
    return default


def clear_unknown_ids(customer: pb.Customer, known_ids: Collection[str]) -> None:
    """Removes the ids that only the server sets from the addresses of a request."""
    for address in customer.addresses:
        address.ClearField("customer_id")
        if address.id not in known_ids:
            address.ClearField("id")
        if address.default_address:
            customer.default_address.CopyFrom(address)


def has_same_values(new: pb.Customer, stored: pb.Customer) -> bool:
    """Tells whether a stored customer equals a new one in every field that clients set."""
    return same_values_as(stored)(new)


def is_unchanged(changed: pb.Customer, stored: pb.Customer) -> bool:
    """Tells whether an update has left every field that clients set as it was stored."""
    return _client_values(changed, timed=True) == _client_values(stored, timed=True)


def same_values_as(stored: pb.Customer) -> Callable[[pb.Customer], bool]:
    """Returns `has_same_values` of one stored customer, which may be much larger than new ones."""
    values_of_stored = cache(partial(_client_values, stored))

    def has_same_values(new: pb.Customer) -> bool:
        # A request without the time of consent gets the time of its creation.
        timed = new.marketing_preferences_updated_at != new.created_date
        return _client_values(new, timed=timed) == values_of_stored(timed=timed)

    return has_same_values


def _client_values(customer: pb.Customer, *, timed: bool) -> pb.Customer:
    """Returns the values that clients set, with the time of consent if `timed`."""
    values = pb.Customer()
    values.CopyFrom(customer)
    for field in SERVER_FIELDS:
        values.ClearField(field)
    if not timed:
        values.ClearField("marketing_preferences_updated_at")
    for address in (*values.addresses, values.default_address):
        address.ClearField("id")
        address.ClearField("customer_id")
    return values


def _fill_defaults(customer: pb.Customer, known_level: int) -> None:
    customer.email = fields.trim(customer.email)
    for field in _UNSET_IF_BLANK:
        if not fields.trim(getattr(customer, field)):
            customer.ClearField(field)
    if not customer.HasField("active"):
        customer.active = True
    if not customer.customerState:
        customer.customerState = pb.Customer.disabled
    for field in ("accepts_marketing", "tax_exempt", "verified_email"):
        if not customer.HasField(field):
            setattr(customer, field, False)
    normalize_marketing(customer, known_level)


def _normalize_fields(customer: pb.Customer, context: ValidationContext) -> Iterator[Violation]:
    if not customer.email:
        yield Violation("email", "is required, and " + emails.NOT_AN_EMAIL)
    elif customer.email not in context.known_emails and (
        problem := emails.problem(customer.email, accept_dots=context.accept_email_dots)
    ):
        yield Violation("email", problem)
    for field, json_name in _REFERENCES.items():
        if getattr(customer, field) in _PATH_STEPS:
            yield Violation(json_name, "must not be . or .., which URLs take for steps in a path")
    if not 0 <= customer.spend_to_next_tier < math.inf:
        yield Violation("spendToNextTier", "must be a number that is not negative")
    yield from _normalize_dates(customer, context.now)
    yield from _check_states(customer)
    yield from _check_tax_exemptions(customer)


def _normalize_dates(customer: pb.Customer, now: datetime) -> Iterator[Violation]:
    for field, json_name in _PAST_DATES.items():
        if text := getattr(customer, field):
            try:
                date = fields.normalize_past_date(text, now)
                if date != text:
                    setattr(customer, field, date)
            except ValueError as error:
                yield Violation(json_name, str(error))


def _check_states(customer: pb.Customer) -> Iterator[Violation]:
    if customer.customerState not in _DEFINED_STATES:
        yield Violation("customer_state", _STATES)
    if customer.marketing_optin_level not in _DEFINED_LEVELS:
        yield Violation("marketing_optin_level", _LEVELS)
    elif customer.marketing_optin_level and not customer.accepts_marketing:
        yield Violation("marketing_optin_level", NOT_ACCEPTED)
    if customer.HasField("marketing_preferences_updated_at") and (
        problem := fields.normalize_timestamp(customer.marketing_preferences_updated_at)
    ):
        yield Violation("marketing_preferences_updated_at", problem)


def _normalize_phones(customer: pb.Customer, context: ValidationContext) -> Iterator[Violation]:
    region = customer.default_address.country_code or context.region
    for field in ("mobile", "phone"):
        number = getattr(customer, field)
        if number and number not in context.known_numbers:
            try:
                setattr(customer, field, phones.to_e164(number, region))
            except ValueError as error:
                yield Violation(field, str(error))


def _check_tax_exemptions(customer: pb.Customer) -> Iterator[Violation]:
    if len(customer.tax_exemptions) > MAX_TAX_EXEMPTIONS:
        yield Violation("taxExemptions", f"must hold at most {MAX_TAX_EXEMPTIONS} texts")
        return
    for index, exemption in enumerate(customer.tax_exemptions):
        if problem := fields.text_problem(exemption) if exemption else "must not be empty":
            yield Violation(f"taxExemptions[{index}]", problem)
