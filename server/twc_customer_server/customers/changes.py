"""How a request makes or changes a customer: create, update, add an address."""

from collections.abc import Collection
from datetime import datetime

from google.protobuf.field_mask_pb2 import FieldMask
from twc.customer.v2 import customer_pb2 as pb
from uuid_utils import uuid7

from twc_customer_server.customers import addresses, dates, text
from twc_customer_server.customers.customer import (
    MAX_CUSTOMER_BYTES,
    Circumstances,
    settle,
    settle_marketing,
)
from twc_customer_server.errors import InvalidInput, Violation

_SERVER_FIELDS = frozenset({"id", "created_date", "last_modified_date"})
_SPELLINGS = {
    name: field.name
    for field in pb.Customer.DESCRIPTOR.fields
    for name in (field.name, field.json_name)
}
_ALL_FIELDS = frozenset(pb.Customer.DESCRIPTOR.fields_by_name) - _SERVER_FIELDS


def new(customer: pb.Customer, region: str | None, now: datetime) -> None:
    """Makes a request's customer the one to be stored, but for what `stamp` adds.

    `region` is the tenant's default region. Raises InvalidInput.
    """
    stated = customer.HasField("accepts_marketing") or bool(customer.marketing_optin_level)
    if stated and not customer.HasField("marketing_preferences_updated_at"):
        customer.marketing_preferences_updated_at.CopyFrom(dates.to_timestamp(now))
    settle(customer, _default_of(customer), Circumstances(now, region))
    for field in _SERVER_FIELDS:
        customer.ClearField(field)
    _drop_ids(customer, known=())


def update(
    stored: pb.Customer,
    request: pb.Customer,
    mask: FieldMask,
    region: str | None,
    now: datetime,
) -> None:
    """Changes a stored customer as an update request says; uses the request up.

    An empty mask is the implied mask of AIP-134. Raises InvalidInput.
    """
    fields = _masked(mask) if mask.paths else {field.name for field, _ in request.ListFields()}
    fields &= _ALL_FIELDS
    known = {address.id for address in stored.addresses}
    given = Circumstances(now, region, known, max(MAX_CUSTOMER_BYTES, stored.ByteSize()))
    marketing = (stored.accepts_marketing, stored.marketing_optin_level)
    # A request that repeats the stored moment does not give one.
    repeated = request.marketing_preferences_updated_at == stored.marketing_preferences_updated_at
    default = _wanted_default(stored, request, fields)
    for field, _ in request.ListFields():
        if field.name not in fields:
            request.ClearField(field.name)
    for name in fields:
        stored.ClearField(name)
    stored.MergeFrom(request)
    settle_marketing(stored)
    changed = marketing != (stored.accepts_marketing, stored.marketing_optin_level)
    if changed and (repeated or not request.HasField("marketing_preferences_updated_at")):
        stored.marketing_preferences_updated_at.CopyFrom(dates.to_timestamp(now))
    settle(stored, default, given)
    _drop_ids(stored, known)


def add_address(
    stored: pb.Customer, address: pb.Address, region: str | None, now: datetime
) -> None:
    """Adds an address to a stored customer. Raises InvalidInput, with paths within the address."""
    if violations := addresses.check(address):
        raise InvalidInput(violations)
    address.ClearField("id")
    if address.default_address:
        addresses.unmark(stored)
    stored.addresses.append(address)
    settle(stored, None, Circumstances(now, region))


def stamp(customer: pb.Customer, now: datetime) -> None:
    """Gives a customer, and those of its addresses that lack them, ids and dates."""
    customer.last_modified_date.CopyFrom(dates.to_timestamp(now))
    if not customer.id:
        customer.id = str(uuid7())
        customer.created_date.CopyFrom(customer.last_modified_date)
    for address in customer.addresses:
        address.id = address.id or str(uuid7())
        address.customer_id = customer.id
        if address.default_address:
            customer.default_address.CopyFrom(address)


def is_same(new: pb.Customer, stored: pb.Customer) -> bool:
    """Tells whether a stored customer has the same values in all that a new one was given."""
    # The moment is that of creation where a request gives none.
    moment = new.marketing_preferences_updated_at
    unsaid = {"marketing_preferences_updated_at"} if moment == new.created_date else set()
    return _given(new, unsaid) == _given(stored, unsaid)


def _given(customer: pb.Customer, unsaid: Collection[str]) -> pb.Customer:
    given = pb.Customer()
    given.CopyFrom(customer)
    for field in (*_SERVER_FIELDS, *unsaid):
        given.ClearField(field)
    for address in (*given.addresses, given.default_address):
        address.ClearField("id")
        address.ClearField("customer_id")
    return given


def _drop_ids(customer: pb.Customer, known: Collection[str]) -> None:
    """Takes from the addresses what a request has no say in."""
    for address in customer.addresses:
        address.ClearField("customer_id")
        if address.id not in known:
            address.ClearField("id")
        if address.default_address:
            customer.default_address.CopyFrom(address)


def _default_of(customer: pb.Customer) -> pb.Address | None:
    """A copy of the default address that a request names by the field of that name."""
    if not customer.HasField("default_address"):
        return None
    default = pb.Address()
    default.CopyFrom(customer.default_address)
    return default


def _wanted_default(
    stored: pb.Customer, request: pb.Customer, fields: Collection[str]
) -> pb.Address | None:
    """Finds the address that an update names as the default, and marks the lists for it."""
    current = stored.default_address.id
    default = _default_of(request) if "default_address" in fields else None
    if "addresses" not in fields:
        if "default_address" in fields:
            addresses.unmark(stored)
        if default is not None:
            addresses.replace(stored, default)
        return default
    if default == stored.default_address and not addresses.lists(request, current):
        # The caller took it from the list, and left here what had been read.
        return None
    if default is not None and addresses.repeats(request, stored, default.id):
        addresses.replace(request, default)
    if not any(address.default_address for address in request.addresses):
        addresses.mark_id(request, current)
    elif default is not None and default.id == current:
        # It only repeats what is stored; the mark is what the caller changed.
        return None
    return default


def _masked(mask: FieldMask) -> set[str]:
    """The names of the fields that a mask names, in whichever spelling."""
    unknown = [path for path in mask.paths if path != "*" and path not in _SPELLINGS]
    if unknown:
        raise InvalidInput(
            [
                Violation(
                    "updateMask",
                    f'"{text.shorten(path)}" is not a field of a customer; '
                    "name whole fields, such as firstName",
                )
                for path in unknown
            ]
        )
    if "*" in mask.paths:
        return set(_ALL_FIELDS)
    return {_SPELLINGS[path] for path in mask.paths}
