# Made of `aio/feeds.py` by `make format`: change that.
"""Reads what comes page by page, or without end: lists, exports and changes."""

from collections.abc import Generator, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from twc_customer_client.calls import CallOptions, Position
from twc_customer_client.rpcs import FEED_SECONDS
from twc_customer_client.sync.calls import Calls

if TYPE_CHECKING:
    from twc.customer.v2.customer_service_pb2_grpc import CustomerServiceStub

_NEXT_PAGE_TOKEN = "x-next-page-token"  # noqa: S105 - the name of a header


def lookup(
    calls: Calls,
    stub: "CustomerServiceStub",
    request: pb.LookupCustomersRequest,
    options: CallOptions,
    position: Position,
) -> Generator[Customer]:
    """Yields the customers of all pages of a lookup. Raises CustomerError."""
    while True:
        page = calls.collect(stub.LookupCustomers, request, options)
        position.cursor = page.header(_NEXT_PAGE_TOKEN)
        for customer in page.value:
            yield customer
        if not position.cursor:
            return
        request.page_token = position.cursor


def pages(
    calls: Calls,
    stub: "CustomerServiceStub",
    request: pb.ListCustomersRequest,
    options: CallOptions,
    position: Position,
) -> Generator[Customer]:
    """Yields the customers of all pages of a list. Raises CustomerError."""
    while True:
        page = (calls.unary(stub.ListCustomers, request, options)).value
        position.cursor = page.next_page_token
        for customer in page.customers:
            yield customer
        if not position.cursor:
            return
        request.page_token = position.cursor


def export_parts(
    calls: Calls, stub: "CustomerServiceStub", request: pb.ExportCustomersRequest
) -> Generator[pb.ExportCustomersResponse]:
    """Yields the parts of an export, which it resumes. Raises CustomerError."""
    with closing(calls.stream(stub.ExportCustomers, request)) as parts:
        for part in parts:
            yield part
            request.resume_token = part.resume_token


def export(
    calls: Calls,
    stub: "CustomerServiceStub",
    request: pb.ExportCustomersRequest,
    position: Position,
) -> "Generator[Customer | pb.Tombstone]":
    """Yields customers, and tombstones if they are asked for. Raises CustomerError."""
    next_cursor = ""
    with closing(export_parts(calls, stub, request)) as parts:
        for part in parts:
            next_cursor = part.next_cursor
            for customer in part.customers:
                yield customer
            for tombstone in part.tombstones:
                yield tombstone
    position.cursor = next_cursor


def changes(
    calls: Calls,
    stub: "CustomerServiceStub",
    request: pb.ListCustomerChangesRequest,
    options: CallOptions,
    position: Position,
) -> Generator[pb.CustomerChange]:
    """Yields the changes that there are. Raises CustomerError."""
    while True:
        page = (calls.unary(stub.ListCustomerChanges, request, options)).value
        for change in _taken(page, position):
            yield change
        if not page.changes:
            return
        _go_on(request, position)


def follow(
    calls: Calls,
    stub: "CustomerServiceStub",
    request: pb.WatchCustomersRequest,
    position: Position,
    retry_for: float,
) -> Generator[pb.CustomerChange]:
    """Yields changes as they come, without end. Raises CustomerError."""
    if request.from_now:
        # A stream that breaks off before its first response leaves no cursor to go on from.
        now = pb.ListCustomerChangesRequest(from_now=True)
        page = calls.unary(stub.ListCustomerChanges, now, CallOptions())
        position.cursor = page.value.next_cursor
        _go_on(request, position)
    watched = calls.stream(stub.WatchCustomers, request, seconds=FEED_SECONDS, retry_for=retry_for)
    with closing(watched) as responses:
        for response in responses:
            for change in _taken(response, position):
                yield change
            _go_on(request, position)


def _taken(
    page: pb.ListCustomerChangesResponse | pb.WatchCustomersResponse, position: Position
) -> Iterator[pb.CustomerChange]:
    """Yields changes; the cursor goes on with the last, which the caller then has."""
    for number, change in enumerate(page.changes, 1):
        if number == len(page.changes):
            position.cursor = page.next_cursor
        yield change
    position.cursor = page.next_cursor


def _go_on(
    request: pb.ListCustomerChangesRequest | pb.WatchCustomersRequest, position: Position
) -> None:
    request.ClearField("from_now")
    request.cursor = position.cursor
