# Made of `aio/reads.py` by `make format`: change that.
"""The calls that read single customers, or find them."""

from typing import TypeVar

import grpc
from google.protobuf.message import Message
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from twc_customer_client.calls import Answer, CallOptions, Position, headers
from twc_customer_client.errors import Failure, NotFound
from twc_customer_client.results import Versioned
from twc_customer_client.sync import feeds
from twc_customer_client.sync.connection import Connection
from twc_customer_client.sync.items import Items

Request = TypeVar("Request", bound=Message)

_NO_SUCH_ID = Failure(
    "no customer has this id", grpc.StatusCode.NOT_FOUND, reason="RESOURCE_NOT_FOUND"
)


class Reads(Connection):
    """Reads customers."""

    def get(self, customer_id: str, *, timeout: float | None = None) -> Customer:
        """Returns the customer with an id. Raises NotFound."""
        return (self.get_versioned(customer_id, timeout=timeout)).customer

    def get_versioned(self, customer_id: str, *, timeout: float | None = None) -> Versioned:
        """Returns the customer with an id, and its entity tag. Raises NotFound."""
        answer = self._get(customer_id, CallOptions(timeout))
        if not answer.value.id:
            raise NotFound(_NO_SUCH_ID)
        return Versioned(answer.value, answer.header("etag"))

    def get_if_changed(
        self, customer_id: str, etag: str, *, timeout: float | None = None
    ) -> Versioned | None:
        """Returns the customer with an id, or None if it still has the tag. Raises NotFound."""
        answer = self._get(customer_id, CallOptions(timeout, headers(if_none_match=etag)))
        if answer.value.id:
            return Versioned(answer.value, answer.header("etag"))
        if answer.header("x-http-code") == "304":
            return None
        raise NotFound(_NO_SUCH_ID)

    def get_by_ref(self, customer_ref: str, *, timeout: float | None = None) -> Customer:
        """Returns the customer with a reference. Raises NotFound."""
        request = pb.GetCustomerByRefRequest(customer_ref=customer_ref)
        options = CallOptions(timeout)
        return (self._calls.unary(self._stub.GetCustomerByRef, request, options)).value

    def get_by_alternate_ref(
        self, alternate_customer_ref: str, *, timeout: float | None = None
    ) -> Customer:
        """Returns the customer with an alternate reference. Raises NotFound."""
        request = pb.GetCustomerByAlternateRefRequest(alternate_customer_ref=alternate_customer_ref)
        rpc = self._stub.GetCustomerByAlternateRef
        return (self._calls.unary(rpc, request, CallOptions(timeout))).value

    def get_by_email(self, email: str, *, timeout: float | None = None) -> Customer:
        """Returns the customer with an e-mail address, in any case. Raises NotFound."""
        request = pb.GetCustomerByEmailRequest(email=email)
        options = CallOptions(timeout)
        return (self._calls.unary(self._stub.GetCustomerByEmail, request, options)).value

    def lookup(
        self,
        *,
        email: str | None = None,
        first_name: str | None = None,
        last_name: str | None = None,
        mobile: str | None = None,
        phone: str | None = None,
        page_size: int | None = None,
        page_token: str | None = None,
        timeout: float | None = None,
    ) -> Items[Customer]:
        """Iterates over the customers that match every given value, oldest first.

        `timeout` is that of each page.
        """
        request = pb.LookupCustomersRequest(
            email=email,
            first_name=first_name,
            last_name=last_name,
            mobile=mobile,
            phone=phone,
            page_size=page_size,
            page_token=page_token,
        )
        position = Position()
        options = CallOptions(timeout)
        items = feeds.lookup(self._calls, self._stub, request, options, position)
        return Items(items, position)

    def list(
        self,
        filter: str | None = None,  # noqa: A002 - the contract's name
        *,
        order_by: str | None = None,
        page_size: int | None = None,
        page_token: str | None = None,
        timeout: float | None = None,
    ) -> Items[Customer]:
        """Iterates over the customers that match a filter, as in `lastName = "mül*"`.

        `order_by` is `createdDate`, `lastModifiedDate` or `lastName`, and perhaps
        ` desc`; `timeout` is that of each page.
        """
        request = _list_request(filter, order_by, page_size, page_token)
        position = Position()
        items = feeds.pages(self._calls, self._stub, request, CallOptions(timeout), position)
        return Items(items, position)

    def list_page(
        self,
        filter: str | None = None,  # noqa: A002 - the contract's name
        *,
        order_by: str | None = None,
        page_size: int | None = None,
        page_token: str | None = None,
        timeout: float | None = None,
    ) -> pb.ListCustomersResponse:
        """Returns one page of a list, and the token of the next, for a page that people turn."""
        request = _list_request(filter, order_by, page_size, page_token)
        options = CallOptions(timeout)
        return (self._calls.unary(self._stub.ListCustomers, request, options)).value

    def _get(self, customer_id: str, options: CallOptions) -> Answer[Customer]:
        request = pb.GetCustomerRequest(id=customer_id)
        return self._calls.unary(self._stub.GetCustomer, request, options)


def _list_request(
    filter_: str | None, order_by: str | None, page_size: int | None, page_token: str | None
) -> pb.ListCustomersRequest:
    return pb.ListCustomersRequest(
        filter=filter_, order_by=order_by, page_size=page_size, page_token=page_token
    )
