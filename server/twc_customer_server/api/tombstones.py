"""Tells of a deleted customer what its tombstone has."""

from twc.customer.v2.customer_pb2 import Customer
from twc.customer.v2.customer_service_pb2 import Tombstone


def fill(tombstone: Tombstone, customer_id: str, deleted_at: int, body: bytes) -> None:
    """Fills in the tombstone of a customer that was deleted at a time, in milliseconds."""
    tombstone.id = customer_id
    tombstone.delete_time.FromMilliseconds(deleted_at)
    if merged_into := Customer.FromString(body).merged_into:
        tombstone.merged_into = merged_into
