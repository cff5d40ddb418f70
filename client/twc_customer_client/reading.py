"""Single customers: read by id, and looked up by what they are known by."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import grpc
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from twc_customer_client.connection import Connection, Metadata
from twc_customer_client.problems import Problem

T = TypeVar("T")

_NEXT_PAGE = "x-next-page-token"


def get(connection: Connection, customer_id: str) -> Customer:
    """The customer with an id. Raises Problem if there is none."""
    request = pb.GetCustomerRequest(id=customer_id)
    rpc = connection.stub.GetCustomer
    customer = _tried(
        connection, lambda who: rpc(request, timeout=connection.seconds, metadata=who)
    )
    if not customer.id:
        raise Problem(f"there is no customer with the id {customer_id!r}")
    return customer


def lookup(connection: Connection, request: pb.LookupCustomersRequest) -> Iterator[Customer]:
    """All customers that match, page by page. Raises Problem."""
    more = True
    while more:
        page, token = _tried(connection, lambda who: _page(connection, request, who))
        yield from page
        request.page_token = token
        more = bool(token)


def _page(
    connection: Connection, request: pb.LookupCustomersRequest, who: Metadata
) -> tuple[list[Customer], str]:
    """A page of customers, and the token of the next one."""
    call = connection.stub.LookupCustomers(request, timeout=connection.seconds, metadata=who)
    customers = list(call)
    headers = {key: value for key, value in call.initial_metadata() if isinstance(value, str)}
    return customers, headers.get(_NEXT_PAGE, "")


def _tried(connection: Connection, act: Callable[[Metadata], T]) -> T:
    """Calls until there is an answer. Raises Problem."""
    while True:
        try:
            answer = act(connection.metadata())
        except grpc.RpcError as error:
            connection.recover(error)
        else:
            connection.succeeded()
            return answer
