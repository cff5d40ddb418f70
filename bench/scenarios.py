"""The scenarios: the requests that every contender gets, over REST or native gRPC."""

import json
import random
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from google.protobuf.message import Message
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from bench.dataset import (
    FIRST_NEW,
    PAGE_CUSTOMERS,
    PAGE_LAST_NAME,
    Dataset,
    customer_id,
    email,
    to_json,
)
from bench.load.connection import Request
from bench.testbed import Testbed

Transport = Literal["REST", "gRPC"]

_ROUTE = "/api/v2/customers"
# The prefix of the paths of RPCs.
SERVICE_PATH = "/twc.customer.v2.CustomerService/"


class Call(NamedTuple):
    """A call in its REST and its gRPC form, and a text that the response must contain."""

    method: str
    path: str
    customer: Customer | None
    message: Message
    expected: str

    def http(self, headers: Mapping[str, str]) -> Request:
        """Returns it as an HTTP/1.1 request."""
        body = b"" if self.customer is None else to_json(self.customer).encode()
        lines = [f"{self.method} {self.path} HTTP/1.1", "host: 127.0.0.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if self.customer is not None:
            lines += ["content-type: application/json", f"content-length: {len(body)}"]
        head = "\r\n".join([*lines, "", ""]).encode()
        return Request(head + body, json.dumps(self.expected).encode())

    def grpc(self) -> Request:
        """Returns it as an encoded message."""
        return Request(self.message.SerializeToString(), self.expected.encode())


@dataclass(frozen=True)
class Scenario:
    """A kind of call.

    `call` returns the call for a customer's number; an update writes the mark,
    so that it changes the customer.
    """

    key: str
    title: str
    rpc: str
    call: Callable[[Dataset, int, str], Call]
    # The HTTP status of success.
    status: int = 200
    # True if it writes, so that no request can be sent twice.
    is_write: bool = False


def get_by_id(own_id: str) -> Call:
    """Returns the call that gets the customer with an id."""
    request = pb.GetCustomerRequest(id=own_id)
    return Call("GET", f"{_ROUTE}/{own_id}", None, request, own_id)


def _get(_dataset: Dataset, number: int, _mark: str) -> Call:
    return get_by_id(customer_id(number))


def _lookup(_dataset: Dataset, number: int, _mark: str) -> Call:
    address = email(number)
    request = pb.LookupCustomersRequest(email=address)
    return Call("GET", f"{_ROUTE}/search?email={address}", None, request, address)


def _page(_dataset: Dataset, _number: int, _mark: str) -> Call:
    request = pb.LookupCustomersRequest(last_name=PAGE_LAST_NAME)
    path = f"{_ROUTE}/search?lastName={PAGE_LAST_NAME}"
    return Call("GET", path, None, request, PAGE_LAST_NAME)


def _create(dataset: Dataset, number: int, _mark: str) -> Call:
    customer = dataset.request(number)
    request = pb.CreateCustomerRequest(customer=customer)
    return Call("POST", _ROUTE, customer, request, customer.email)


def _update(dataset: Dataset, number: int, mark: str) -> Call:
    """Sends the customer as it was read, with another last name."""
    customer = dataset.stored(number)
    customer.last_name = f"Changed {mark}"
    for field in ("created_date", "last_modified_date"):
        customer.ClearField(field)
    request = pb.UpdateCustomerRequest(customer=customer)
    return Call("PUT", _ROUTE, customer, request, customer.last_name)


GET = Scenario("get", "GET by id", "GetCustomer", _get)
LOOKUP = Scenario("lookup", "Lookup by e-mail", "LookupCustomers", _lookup)
CREATE = Scenario("create", "Create", "CreateCustomer", _create, status=201, is_write=True)
UPDATE = Scenario("update", "Update", "UpdateCustomer", _update, is_write=True)
PAGE = Scenario("page", "Page of 100 customers", "LookupCustomers", _page)

SCENARIOS = [GET, LOOKUP, CREATE, UPDATE, PAGE]


class RequestBatches:
    """Makes batches of requests, each once, so that all contenders get the same ones.

    A batch has a name. Batches that create customers have no customer in common.
    """

    def __init__(self, testbed: Testbed) -> None:
        self._testbed = testbed
        self._cache: dict[tuple[str, str, str, int], list[Request]] = {}
        self._first_numbers: dict[str, int] = {}
        self._next_number = FIRST_NEW

    def batch(
        self, scenario: Scenario, transport: Transport, name: str, count: int
    ) -> list[Request]:
        """Returns a number of requests."""
        key = (scenario.key, transport, name, count)
        if key not in self._cache:
            self._cache[key] = [
                call.grpc() if transport == "gRPC" else call.http(self._testbed.credentials)
                for call in self._calls(scenario, name, count)
            ]
        return self._cache[key]

    def numbers(self, scenario: Scenario, name: str, count: int) -> Sequence[int]:
        """Returns the numbers of the customers that a batch is about."""
        if scenario.key == CREATE.key:
            if name not in self._first_numbers:
                self._first_numbers[name] = self._next_number
                self._next_number += count
            first = self._first_numbers[name]
            return range(first, first + count)
        rng = random.Random(name)
        return rng.choices(range(PAGE_CUSTOMERS, self._testbed.plan.customers), k=count)

    def clear(self) -> None:
        """Frees the memory of all requests: another round sends others."""
        self._cache.clear()

    def uri_file(self, scenario: Scenario, name: str) -> Path:
        """Writes a file of as many URIs as there are customers, for h2load."""
        path = self._testbed.folder / "uris"
        calls = self._calls(scenario, name, self._testbed.plan.customers)
        path.write_text("".join(f"http://127.0.0.1{call.path}\n" for call in calls))
        return path

    def body_file(self, scenario: Scenario, name: str) -> Path:
        """Writes a file of one request in gRPC's framing, for h2load."""
        path = self._testbed.folder / "body"
        [call] = self._calls(scenario, name, 1)
        message = call.grpc().payload
        path.write_bytes(b"\0" + struct.pack(">I", len(message)) + message)
        return path

    def _calls(self, scenario: Scenario, name: str, count: int) -> Iterator[Call]:
        for index, number in enumerate(self.numbers(scenario, name, count)):
            yield scenario.call(self._testbed.dataset, number, f"{name}-{index}")
