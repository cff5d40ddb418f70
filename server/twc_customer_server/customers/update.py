"""Rules of changes to a stored customer: an update by field mask, and changes of one address."""

from collections.abc import Collection, Mapping
from itertools import islice

from google.protobuf.field_mask_pb2 import FieldMask
from twc.customer.v2 import customer_pb2 as pb
from twc.customer.v2.customer_service_pb2 import UpdateCustomerRequest

from twc_customer_server.customers import addresses, fields
from twc_customer_server.customers.context import ValidationContext
from twc_customer_server.customers.customer import (
    SERVER_FIELDS,
    clear_unknown_ids,
    normalize_and_validate,
    normalize_marketing,
    requested_default_address,
)
from twc_customer_server.errors import InvalidInput, NotFound, Violation

# Names of fields, as the contract and JSON spell them.
FIELDS_BY_NAME = {
    name: field.name
    for field in pb.Customer.DESCRIPTOR.fields
    for name in (field.name, field.json_name)
}
_CLIENT_FIELDS = frozenset(pb.Customer.DESCRIPTOR.fields_by_name) - SERVER_FIELDS
_ADDRESS_FIELDS_BY_NAME = {
    name: field.name
    for field in pb.Address.DESCRIPTOR.fields
    for name in (field.name, field.json_name)
}
_ADDRESS_CLIENT_FIELDS = frozenset(pb.Address.DESCRIPTOR.fields_by_name) - {"id", "customer_id"}


def mask_of(request: UpdateCustomerRequest) -> FieldMask:
    """Returns the mask of an update, the one implied if it also has fields to be cleared.

    Raises InvalidInput.
    """
    if request.update_mask.paths or not request.cleared_fields.paths:
        return request.update_mask
    cleared = fields_of(request.cleared_fields, "clearedFields", FIELDS_BY_NAME, "a customer")
    given = (field.name for field, _ in request.customer.ListFields())
    return FieldMask(paths=[*cleared, *given])


def update(
    stored: pb.Customer, request: pb.Customer, mask: FieldMask, context: ValidationContext
) -> None:
    """Applies an update request to a stored customer, in place; modifies the request too.

    An empty mask is the implied mask of AIP-134. A new e-mail address is not
    verified unless the request says so. Raises InvalidInput.
    """
    given = {field.name for field, _ in request.ListFields()}
    named = fields_of(mask, "updateMask", FIELDS_BY_NAME, "a customer") if mask.paths else given
    names = named & _CLIENT_FIELDS
    _lower_ids(request)
    context = context.knowing(stored)
    if "email" in names and fields.trim(request.email).lower() != stored.email.lower():
        stored.verified_email = False
    marketing = (stored.accepts_marketing, stored.marketing_optin_level)
    # A request that repeats the stored time, of which it may know more digits, does not set one.
    if request.HasField("marketing_preferences_updated_at"):
        fields.normalize_timestamp(request.marketing_preferences_updated_at)
    repeated = request.marketing_preferences_updated_at == stored.marketing_preferences_updated_at
    default = _choose_default(stored, request, names)
    for name in given - names:
        request.ClearField(name)
    for name in names:
        stored.ClearField(name)
    stored.MergeFrom(request)
    normalize_marketing(stored, context.known_level)
    changed = marketing != (stored.accepts_marketing, stored.marketing_optin_level)
    if changed and (repeated or not request.HasField("marketing_preferences_updated_at")):
        stored.marketing_preferences_updated_at.CopyFrom(fields.to_timestamp(context.now))
    normalize_and_validate(stored, default, context)
    clear_unknown_ids(stored, context.known_ids)


def add_address(stored: pb.Customer, address: pb.Address, context: ValidationContext) -> None:
    """Adds an address to a stored customer. Raises InvalidInput, with paths within the address."""
    context = context.knowing(stored)
    if violations := addresses.check(address, context):
        raise InvalidInput(violations)
    address.ClearField("id")
    if address.default_address:
        addresses.clear_marks(stored)
    stored.addresses.append(address)
    normalize_and_validate(stored, None, context)


def update_address(
    stored: pb.Customer,
    address_id: str,
    request: pb.Address,
    cleared: FieldMask,
    context: ValidationContext,
) -> None:
    """Changes an address of a stored customer: fields that are given, and those to be cleared.

    Raises NotFound, and InvalidInput with paths within the address.
    """
    context = context.knowing(stored)
    names = fields_of(cleared, "clearedFields", _ADDRESS_FIELDS_BY_NAME, "an address")
    address = _address(stored, address_id)
    if address is None:
        raise NotFound("id", "address of the customer")
    if request.default_address:
        addresses.clear_marks(stored)
    for name in names & _ADDRESS_CLIENT_FIELDS:
        address.ClearField(name)
    request.ClearField("id")
    request.ClearField("customer_id")
    address.MergeFrom(request)
    if violations := addresses.check(address, context):
        raise InvalidInput(violations)
    normalize_and_validate(stored, None, context)


def delete_address(stored: pb.Customer, address_id: str, context: ValidationContext) -> bool:
    """Removes an address of a stored customer; tells whether it had that. Raises InvalidInput."""
    context = context.knowing(stored)
    address = _address(stored, address_id)
    if address is None:
        return False
    stored.addresses.remove(address)
    normalize_and_validate(stored, None, context)
    return True


def _address(customer: pb.Customer, address_id: str) -> pb.Address | None:
    return next((it for it in customer.addresses if it.id == address_id), None)


def _lower_ids(request: pb.Customer) -> None:
    """Writes the ids of a request's addresses as they are stored."""
    for address in (*request.addresses, request.default_address):
        if address.id:
            address.id = address.id.lower()


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


def fields_of(mask: FieldMask, parameter: str, known: Mapping[str, str], what: str) -> set[str]:
    """Returns the fields that a mask names, in any spelling. Raises InvalidInput."""
    unknown = [
        *islice(
            (path for path in mask.paths if path != "*" and path not in known),
            fields.MAX_VIOLATIONS,
        )
    ]
    if unknown:
        raise InvalidInput(
            [
                Violation(
                    parameter,
                    f'"{fields.shorten(path)}" is not a field of {what}; '
                    "name whole fields, such as firstName",
                )
                for path in unknown
            ],
            is_cut=len(unknown) == fields.MAX_VIOLATIONS,
        )
    if "*" in mask.paths:
        return set(known.values())
    return {known[path] for path in mask.paths}
