"""Rules of a merge: what the customer that is kept takes from the one that is dropped."""

from collections.abc import Iterator

from google.protobuf.field_mask_pb2 import FieldMask
from twc.customer.v2 import customer_pb2 as pb

from twc_customer_server.customers import addresses, attributes, fields
from twc_customer_server.customers.context import ValidationContext
from twc_customer_server.customers.customer import SERVER_FIELDS, normalize_and_validate
from twc_customer_server.customers.update import FIELDS_BY_NAME, fields_of
from twc_customer_server.errors import InvalidInput, Violation

_MASK = "takenFields"

# Values of both customers are united, without a choice.
_UNITED = frozenset({"addresses", "tax_exemptions"})

# Facts about another field, which are taken with that one and never without it.
_PARTS = {
    "verified_email": "email",
    "marketing_optin_level": "accepts_marketing",
    "marketing_preferences_updated_at": "accepts_marketing",
}

# Consent to marketing is given by one customer, and taken only if it is named.
_CONSENT = frozenset({"accepts_marketing", "optin_preferences"})

# Fields with a rule of their own; a value of any other replaces the one of the kept customer.
_COMBINED = frozenset({*_UNITED, "default_address", "attribute_groups"})


def taken_fields(mask: FieldMask) -> set[str]:
    """Returns the fields that a merge takes although both customers have them.

    Raises InvalidInput for fields that cannot be chosen.
    """
    if "*" in mask.paths:
        raise InvalidInput([Violation(_MASK, "must name each field that is taken, without *")])
    taken = fields_of(mask, _MASK, FIELDS_BY_NAME, "a customer")
    if violations := [*_not_to_choose(taken)]:
        raise InvalidInput(violations)
    return taken


def merge(
    kept: pb.Customer, dropped: pb.Customer, taken: set[str], context: ValidationContext
) -> None:
    """Merges a stored customer into another one, which is changed in place.

    `taken` are the fields that `taken_fields` returns. Raises InvalidInput with
    the paths of the merged customer.
    """
    context = _knowing_both(context, kept, dropped)
    consent = (kept.accepts_marketing, kept.marketing_optin_level)
    since = _earlier(kept.member_since, dropped.member_since)
    _take(kept, dropped, taken)
    if since and "member_since" not in taken:
        kept.member_since = since
    is_changed = consent != (kept.accepts_marketing, kept.marketing_optin_level)
    if is_changed and not kept.HasField("marketing_preferences_updated_at"):
        kept.marketing_preferences_updated_at.CopyFrom(fields.to_timestamp(context.now))
    new = (it for it in dropped.tax_exemptions if it not in kept.tax_exemptions)
    kept.tax_exemptions.extend(dict.fromkeys(new))
    attributes.unite(kept, dropped, prevails="attribute_groups" in taken)
    addresses.unite(kept, dropped, takes_default="default_address" in taken)
    normalize_and_validate(kept, None, context)


def _not_to_choose(taken: set[str]) -> Iterator[Violation]:
    """Finds fields of which there is no choice, or none without another one."""
    for name in sorted(taken):
        json_name = pb.Customer.DESCRIPTOR.fields_by_name[name].json_name
        if name in SERVER_FIELDS:
            yield Violation(_MASK, f"{json_name} is set by the server and cannot be taken")
        elif name in _UNITED:
            yield Violation(_MASK, f"{json_name} must not be named: both are united in any case")
        elif _PARTS.get(name, name) not in taken:
            yield Violation(
                _MASK, f"{json_name} goes with {_PARTS[name]}: name that, to take them together"
            )


def _take(kept: pb.Customer, dropped: pb.Customer, taken: set[str]) -> None:
    """Replaces the fields that are chosen, and those that the kept customer lacks."""
    single = _given(dropped) - _COMBINED - SERVER_FIELDS - _PARTS.keys()
    names = (single & taken) | (single - _given(kept) - _CONSENT)
    names |= {part for part, whole in _PARTS.items() if whole in names}
    values = pb.Customer()
    values.CopyFrom(dropped)
    for field, _ in dropped.ListFields():
        if field.name not in names:
            values.ClearField(field.name)
    for name in names:
        kept.ClearField(name)
    kept.MergeFrom(values)


def _given(customer: pb.Customer) -> set[str]:
    """Returns the fields that a customer has, without blank texts."""
    return {
        field.name
        for field, value in customer.ListFields()
        if not isinstance(value, str) or fields.trim(value)
    }


def _earlier(mine: str, other: str) -> str:
    """Returns the earlier of two dates, of which either may be missing."""
    try:
        return min(filter(fields.trim, (mine, other)), key=fields.parse_date, default="")
    except ValueError:
        return mine or other


def _knowing_both(
    context: ValidationContext, kept: pb.Customer, dropped: pb.Customer
) -> ValidationContext:
    """Returns the context with the facts of both customers; the kept one's size applies."""
    mine, other = context.knowing(kept), context.knowing(dropped)
    return mine._replace(
        known_ids={*mine.known_ids, *other.known_ids},
        known_emails={*mine.known_emails, *other.known_emails},
        known_numbers={*mine.known_numbers, *other.known_numbers},
    )
