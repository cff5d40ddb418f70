"""Answers access requests (GDPR, article 15): all that the database holds of a person."""

from collections.abc import Iterator, Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp
from twc.customer.v2.customer_pb2 import Customer
from twc.customer.v2.customer_service_pb2 import LookupCustomersRequest

from twc_customer_server.api import lookup, selectors
from twc_customer_server.errors import InvalidInput
from twc_customer_server.storage.access import AccessStore, HeldCustomer
from twc_customer_server.storage.database import CannotServeError, Database
from twc_customer_server.storage.idempotency import LIFETIME_MILLISECONDS
from twc_customer_server.storage.rows import Key


def held(
    database: Database, tenant: str, asked: Mapping[str, str], region: str | None
) -> dict[str, Any]:
    """Returns all that is held of a person, as JSON has it.

    `asked` has one or more of `id`, `ref`, `email` and `phone`; a customer with any of
    them is one of the person's. Phone numbers without an international prefix are
    read in `region`. Raises CannotServeError if one cannot be read, and Unavailable.
    """
    store = AccessStore(database)
    found = {
        customer.id: customer
        for key in _keys(asked, tenant, region)
        for customer in store.find(tenant, key)
    }
    return {"tenant": tenant, "customers": [_describe(store, tenant, it) for it in found.values()]}


def _keys(asked: Mapping[str, str], tenant: str, region: str | None) -> list[Key]:
    try:
        return [*_parse(asked, tenant, region)]
    except InvalidInput as error:
        raise CannotServeError(str(error)) from error


def _parse(asked: Mapping[str, str], tenant: str, region: str | None) -> Iterator[Key]:
    """Yields the keys of customers to find. Raises InvalidInput."""
    if "id" in asked:
        yield selectors.of_id(asked["id"])
    if "ref" in asked:
        yield selectors.of_ref(asked["ref"])
        yield selectors.of_alternate_ref(asked["ref"])
    if "email" in asked:
        yield selectors.of_email(asked["email"])
    if "phone" in asked:
        request = LookupCustomersRequest(phone=asked["phone"])
        number = lookup.parse(request, tenant, region).wanted["phone"]
        yield Key("phone", number)
        yield Key("mobile", number)


def _describe(store: AccessStore, tenant: str, customer: HeldCustomer) -> dict[str, Any]:
    description: dict[str, Any] = {"id": customer.id, "status": "live"}
    if customer.deleted_at is not None:
        description |= {"status": "deleted", "deleteTime": _time(customer.deleted_at)}
    if customer.erased_at is not None:
        return description | {"status": "erased", "eraseTime": _time(customer.erased_at)}
    return description | {
        "customer": MessageToDict(Customer.FromString(customer.body)),
        "keptAnswers": [
            {
                "idempotencyKey": answer.key,
                "createTime": _time(answer.created_at),
                "expireTime": _time(answer.created_at + LIFETIME_MILLISECONDS),
            }
            for answer in store.answers(tenant, customer.id)
        ],
    }


def _time(milliseconds: int) -> str:
    time = Timestamp()
    time.FromMilliseconds(milliseconds)
    return time.ToJsonString()
