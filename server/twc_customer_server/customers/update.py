"""Rules of changes to a stored customer: an update by field mask, and an added address."""

from collections.abc import Collection
from datetime import datetime
from itertools import islice

from google.protobuf.field_mask_pb2 import FieldMask
from twc.customer.v2 import customer_pb2 as pb

from twc_customer_server.customers import addresses, fields
from twc_customer_server.customers.context import MAX_CUSTOMER_BYTES, ValidationContext
from twc_customer_server.customers.customer import (
    SERVER_FIELDS,
    clear_unknown_ids,
    normalize_and_validate,
    normalize_marketing,
    requested_default_address,
)
from twc_customer_server.errors import InvalidInput, Violation

# Names of fields, as the contract and JSON spell them.
_FIELDS_BY_NAME = {
    name: field.name
    for field in pb.Customer.DESCRIPTOR.fields
    for name in (field.name, field.json_name)
}
_CLIENT_FIELDS = frozenset(pb.Customer.DESCRIPTOR.fields_by_name) - SERVER_FIELDS


def update(  # noqa: PLR0913 - all that a change depends on
    stored: pb.Customer,
    request: pb.Customer,
    mask: FieldMask,
    region: str | None,
    now: datetime,
    *,
    accept_email_dots: bool = False,
) -> None:
    """Applies an update request to a stored customer, in place; modifies the request too.

    An empty mask is the implied mask of AIP-134. A new e-mail address is not
    verified unless the request says so. Raises InvalidInput.
    """
    names = _masked(mask) if mask.paths else {field.name for field, _ in request.ListFields()}
    names &= _CLIENT_FIELDS
    context = context_of(stored, region, now, accept_email_dots=accept_email_dots)
    if "email" in names and fields.trim(request.email).lower() != stored.email.lower():
        stored.verified_email = False
    marketing = (stored.accepts_marketing, stored.marketing_optin_level)
    # A request that repeats the stored time does not set one.
    repeated = request.marketing_preferences_updated_at == stored.marketing_preferences_updated_at
    default = _choose_default(stored, request, names)
    for field, _ in request.ListFields():
        if field.name not in names:
            request.ClearField(field.name)
    for name in names:
        stored.ClearField(name)
    stored.MergeFrom(request)
    normalize_marketing(stored, context.known_level)
    changed = marketing != (stored.accepts_marketing, stored.marketing_optin_level)
    if changed and (repeated or not request.HasField("marketing_preferences_updated_at")):
        stored.marketing_preferences_updated_at.CopyFrom(fields.to_timestamp(now))
    normalize_and_validate(stored, default, context)
    clear_unknown_ids(stored, context.known_ids)


def add_address(
    stored: pb.Customer,
    address: pb.Address,
    region: str | None,
    now: datetime,
    *,
    accept_email_dots: bool = False,
) -> None:
    """Adds an address to a stored customer. Raises InvalidInput, with paths within the address."""
    context = context_of(stored, region, now, accept_email_dots=accept_email_dots)
    if violations := addresses.check(address, context):
        raise InvalidInput(violations)
    address.ClearField("id")
    if address.default_address:
        addresses.clear_marks(stored)
    stored.addresses.append(address)
    normalize_and_validate(stored, None, context)


def context_of(
    stored: pb.Customer, region: str | None, now: datetime, *, accept_email_dots: bool = False
) -> ValidationContext:
    """Returns the facts that the rules need of a stored customer before it is changed."""
    texts = (stored.email, stored.mobile, stored.phone)
    return ValidationContext(
        now,
        region,
        known_ids={address.id for address in stored.addresses},
        known_texts={*texts, *(address.email for address in stored.addresses)},
        known_level=stored.marketing_optin_level,
        max_bytes=max(MAX_CUSTOMER_BYTES, stored.ByteSize()),
        accept_email_dots=accept_email_dots,
    )


def _choose_default(
    stored: pb.Customer, request: pb.Customer, names: Collection[str]
) -> pb.Address | None:
    """Returns the address that an update asks for as the default; adapts the marks in the lists."""
    current = stored.default_address.id
    default = requested_default_address(request) if "default_address" in names else None
    if "addresses" not in names:
        if "default_address" in names:
            addresses.clear_marks(stored)
        if default is not None:
            addresses.replace(stored, default)
        return default
    if default == stored.default_address and not addresses.contains(request, current):
        # The caller removed it from the list, and sends the field as it was read.
        return None
    if default is not None and addresses.repeats(request, stored, default.id):
        addresses.replace(request, default)
    if not any(address.default_address for address in request.addresses):
        addresses.mark(request, current)
    elif default is not None and default.id == current:
        # The field only repeats the stored default; the caller changed the mark.
        return None
    return default


def _masked(mask: FieldMask) -> set[str]:
    """Returns the fields that a mask names, in either spelling. Raises InvalidInput."""
    unknown = [
        *islice(
            (path for path in mask.paths if path != "*" and path not in _FIELDS_BY_NAME),
            fields.MAX_VIOLATIONS,
        )
    ]
    if unknown:
        raise InvalidInput(
            [
                Violation(
                    "updateMask",
                    f'"{fields.shorten(path)}" is not a field of a customer; '
                    "name whole fields, such as firstName",
                )
                for path in unknown
            ],
            is_cut=len(unknown) == fields.MAX_VIOLATIONS,
        )
    if "*" in mask.paths:
        return set(_CLIENT_FIELDS)
    return {_FIELDS_BY_NAME[path] for path in mask.paths}
