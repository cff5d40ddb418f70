"""What is asked of every contender: the same requests, over REST or native gRPC."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from google.protobuf.message import Message
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from bench.documents import PAGE_NAME, Documents, customer_id, email, to_json
from bench.load.requests import Request

ROOT = "/api/v2/customers"
PATH = "/twc.customer.v2.CustomerService/"


class Call(NamedTuple):
    """One request in both forms, and a text that its answer must hold."""

    method: str
    path: str
    customer: Customer | None
    message: Message
    wanted: str

    def http(self, headers: Mapping[str, str]) -> Request:
        """It as bytes of HTTP/1.1."""
        body = b"" if self.customer is None else to_json(self.customer).encode()
        lines = [f"{self.method} {self.path} HTTP/1.1", "host: 127.0.0.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if self.customer is not None:
            lines += ["content-type: application/json", f"content-length: {len(body)}"]
        head = "\r\n".join([*lines, "", ""]).encode()
        return Request(head + body, _quoted(self.wanted))

    def grpc(self) -> Request:
        """It as an encoded message."""
        return Request(self.message.SerializeToString(), self.wanted.encode())


@dataclass(frozen=True)
class Scenario:
    """A kind of request.

    `call` makes the one for a customer's number; if it changes that customer,
    to something that has the mark in it.
    """

    key: str
    title: str
    rpc: str
    call: Callable[[Documents, int, str], Call]
    # Of HTTP when all is well.
    status: int = 200
    # Whether it stores something: no request can then be sent twice.
    writes: bool = False
    # Whether it is small enough to be asked for at the fixed rate.
    is_paced: bool = True


def get_by_id(own: str) -> Call:
    """The request of the customer with an id."""
    return Call("GET", f"{ROOT}/{own}", None, pb.GetCustomerRequest(id=own), own)


def _get(_documents: Documents, number: int, _mark: str) -> Call:
    return get_by_id(customer_id(number))


def _lookup(_documents: Documents, number: int, _mark: str) -> Call:
    own = email(number)
    request = pb.LookupCustomersRequest(email=own)
    return Call("GET", f"{ROOT}/search?email={own}", None, request, own)


def _page(_documents: Documents, _number: int, _mark: str) -> Call:
    request = pb.LookupCustomersRequest(last_name=PAGE_NAME)
    return Call("GET", f"{ROOT}/search?lastName={PAGE_NAME}", None, request, PAGE_NAME)


def _create(documents: Documents, number: int, _mark: str) -> Call:
    customer = documents.request(number)
    request = pb.CreateCustomerRequest(customer=customer)
    return Call("POST", ROOT, customer, request, customer.email)


def _update(documents: Documents, number: int, mark: str) -> Call:
    """Sends the customer as it was read, with another family name."""
    customer = documents.stored(number)
    customer.last_name = f"Changed {mark}"
    for field in ("created_date", "last_modified_date"):
        customer.ClearField(field)
    request = pb.UpdateCustomerRequest(customer=customer)
    return Call("PUT", ROOT, customer, request, customer.last_name)


def _quoted(text: str) -> bytes:
    """A text as JSON has it."""
    return json.dumps(text).encode()


GET = Scenario("get", "GET by id", "GetCustomer", _get)
LOOKUP = Scenario("lookup", "Lookup by e-mail", "LookupCustomers", _lookup)
CREATE = Scenario("create", "Create", "CreateCustomer", _create, status=201, writes=True)
UPDATE = Scenario("update", "Update", "UpdateCustomer", _update, writes=True)
PAGE = Scenario("page", "Page of 100 customers", "LookupCustomers", _page, is_paced=False)

SCENARIOS = [GET, LOOKUP, CREATE, UPDATE, PAGE]
