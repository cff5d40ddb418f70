"""Holds the facts that the rules of a customer need beside the customer."""

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple, Self

from twc.customer.v2.customer_pb2 import Customer

from twc_customer_server.customers import fields

MAX_CUSTOMER_BYTES = 256 * 1024


class ValidationContext(NamedTuple):
    """Facts that the rules need beside the customer.

    `region` is the tenant's default region. `known_ids` are the ids of the
    addresses that are stored, `known_emails` and `known_numbers` the e-mail
    addresses and phone numbers: those that a later rule would refuse stay
    valid, each as what it is. `known_level` is
    the opt-in level that is stored. `max_bytes` is the size that the customer
    may have: a stored one that is larger than the limit may stay so. The rules
    stop at `max_violations`. `accept_email_dots` is the setting of that name.
    """

    now: datetime
    region: str | None = None
    known_ids: Collection[str] = ()
    known_emails: Collection[str] = ()
    known_numbers: Collection[str] = ()
    known_level: int = 0
    max_bytes: int = MAX_CUSTOMER_BYTES
    max_violations: int = fields.MAX_VIOLATIONS
    accept_email_dots: bool = False

    def knowing(self, stored: Customer) -> Self:
        """Returns the context with the facts of a stored customer, before that is changed."""
        return self._replace(
            known_ids={address.id for address in stored.addresses},
            known_emails={stored.email, *(it.email for it in stored.addresses)} - {""},
            known_numbers={stored.mobile, stored.phone} - {""},
            known_level=stored.marketing_optin_level,
            max_bytes=max(MAX_CUSTOMER_BYTES, stored.ByteSize()),
        )
