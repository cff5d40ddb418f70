"""Restores and erases customers, as far as the calls that ask for it may."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from google.protobuf.empty_pb2 import Empty
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from twc_customer_server.api import selectors
from twc_customer_server.api.selectors import precondition_of
from twc_customer_server.auth.scopes import ANY
from twc_customer_server.customers.customer import set_server_fields
from twc_customer_server.customers.fields import to_milliseconds
from twc_customer_server.errors import ScopeRequired
from twc_customer_server.middleware.rpc import Call
from twc_customer_server.storage.deletions import DeletionStore


class Deletions:
    """Ends deletions of customers: by restoring, or by erasing them."""

    def __init__(self, store: DeletionStore, erase_scope: str) -> None:
        """`erase_scope` is the scope that erasing requires, or ANY."""
        self._store = store
        self._erase_scope = erase_scope

    def restoration(self, request: pb.RestoreCustomerRequest, call: Call) -> Callable[[], bytes]:
        """Returns what restores a customer if If-Match allows, and returns its encoding.

        Raises InvalidInput; what it returns raises as `DeletionStore.restore` does.
        """
        customer_id = selectors.parse_id("id", request.id)
        condition = precondition_of(call)
        return partial(self._store.restore, call.tenant, customer_id, _date, condition)

    def erase(self, request: pb.EraseCustomerRequest, call: Call) -> Empty:
        """Erases a customer if its token's scopes and If-Match allow.

        Raises ScopeRequired, InvalidInput and EtagMismatch.
        """
        if self._erase_scope != ANY and self._erase_scope not in call.scopes:
            raise ScopeRequired(self._erase_scope)
        customer_id = selectors.parse_id("id", request.id)
        now = to_milliseconds(datetime.now(UTC))
        self._store.erase(call.tenant, customer_id, now, precondition_of(call))
        call.set_status(204)
        return Empty()


def _date(restored: Customer) -> None:
    """Sets the date of modification of a customer that is restored now."""
    set_server_fields(restored, datetime.now(UTC))
