"""Requests to update a customer, with the fields that they change."""

from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer


def update_request(
    customer: Customer,
    update_mask: Iterable[str] | None,
    cleared_fields: Iterable[str],
    key: str | None,
) -> pb.UpdateCustomerRequest:
    """Returns the request to change the fields that are set, or those of a mask."""
    request = pb.UpdateCustomerRequest(customer=customer, key=key)
    if update_mask is not None:
        request.update_mask.CopyFrom(FieldMask(paths=update_mask))
    request.cleared_fields.paths.extend(cleared_fields)
    return request


def changed_fields(before: Customer, after: Customer) -> list[str]:
    """Returns the names of the fields in which two customers differ."""
    old, new = ({field.name: it for field, it in of.ListFields()} for of in (before, after))
    return [
        field.name
        for field in Customer.DESCRIPTOR.fields
        if (field.name in old) != (field.name in new) or old.get(field.name) != new.get(field.name)
    ]


def fields_request(customer_id: str, fields: Mapping[str, Any]) -> pb.UpdateCustomerRequest:
    """Returns the request to set fields, and to clear those that are None.

    Raises ValueError if a customer has no such field.
    """
    unknown = sorted(fields.keys() - Customer.DESCRIPTOR.fields_by_name.keys())
    if unknown:
        raise ValueError(f"a customer has no field {', '.join(unknown)}")
    values = {name: value for name, value in fields.items() if value is not None}
    customer = Customer(id=customer_id, **values)
    return update_request(customer, fields, (), None)
