"""The servicer without a server between: each RPC's answer, and its main failures."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import grpc
import grpc_testing
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Address, Customer

from tests.support.backends import Backend
from tests.support.builders import UNKNOWN_ID, customer
from tests.support.client import SECONDS, SERVICE, as_tenant
from tests.support.tokens import trust
from twc_customer_server.api.selectors import etag
from twc_customer_server.api.servicer import CustomerServicer
from twc_customer_server.app import authenticator
from twc_customer_server.databases import open_database
from twc_customer_server.middleware.rpc import wrap
from twc_customer_server.settings.model import Settings
from twc_customer_server.storage.database import Database
from twc_customer_server.storage.rows import Key
from twc_customer_server.storage.store import CustomerStore
from twc_customer_server.storage.stores import Stores
from twc_customer_server.telemetry.metrics import ServiceMetrics


class Answer(NamedTuple):
    """How a call ended: its responses, its status, the headers ahead of them; the ETag apart."""

    responses: list[Any]
    code: grpc.StatusCode
    message: str
    headers: dict[str, str]
    etag: str | None = None


class Caller:
    """Calls a servicer as one tenant, by the names of its RPCs."""

    def __init__(self, server: Any, tenant: str) -> None:
        self._server = server
        self._metadata = as_tenant(tenant)

    def call(self, rpc: str, *requests: Message) -> Answer:
        """Calls an RPC, with its whole stream of requests if it takes one."""
        method = SERVICE.methods_by_name[rpc]
        if method.client_streaming:
            running = self._server.invoke_stream_stream(method, self._metadata, SECONDS)
            for request in requests:
                running.send_request(request.SerializeToString())
            running.requests_closed()
            return self._stream(method, running)
        [request] = requests
        arguments = (method, self._metadata, request.SerializeToString(), SECONDS)
        if method.server_streaming:
            return self._stream(method, self._server.invoke_unary_stream(*arguments))
        running = self._server.invoke_unary_unary(*arguments)
        response, trailers, code, message = running.termination()
        headers = _headers(trailers) if code is grpc.StatusCode.OK else {}
        etag = headers.pop("etag", None)
        return Answer([_decoded(method, response)], code, message, headers, etag)

    def create(self, **fields: Any) -> Customer:
        """Creates a customer."""
        request = pb.CreateCustomerRequest(customer=customer(**fields))
        [created] = self.call("CreateCustomer", request).responses
        assert isinstance(created, Customer)
        return created

    def _stream(self, method: MethodDescriptor, running: Any) -> Answer:
        _, code, message = running.termination()
        responses = []
        while True:
            try:
                responses.append(_decoded(method, running.take_response()))
            except ValueError:  # says that there are no more
                metadata = running.initial_metadata() if code is grpc.StatusCode.OK else ()
                return Answer(responses, code, message, _headers(metadata))


def _decoded(method: MethodDescriptor, response: bytes | None) -> Message | None:
    """A response as a message; None if there is none."""
    return None if response is None else GetMessageClass(method.output_type).FromString(response)


def _headers(metadata: Iterable[tuple[str, str]]) -> dict[str, str]:
    headers = dict(metadata)
    headers.pop("grpc.metadata_added_by_runtime", None)
    return headers


@pytest.fixture(scope="module")
def database(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """The database behind the servicer."""
    settings = Settings(**backend.settings(tmp_path_factory.mktemp("servicer")), **trust())
    database = open_database(settings)
    database.prepare()
    yield database
    database.shut_down()


@pytest.fixture(scope="module")
def store(database: Database) -> CustomerStore:
    """The store behind the servicer."""
    return CustomerStore(database)


@pytest.fixture(scope="module")
def server(database: Database) -> Any:
    """The wrapped servicer, called as a server calls it."""
    servicer = CustomerServicer(Stores.of(database), {"german": "DE"}.get)
    servicers = {
        SERVICE: wrap(servicer, authenticator(Settings(**trust())), ServiceMetrics(SERVICE))
    }
    return grpc_testing.server_from_dictionary(servicers, grpc_testing.strict_real_time())


@pytest.fixture
def caller(server: Any, tenant: str) -> Caller:
    """Calls as the test's tenant."""
    return Caller(server, tenant)


def test_create_customer(caller: Caller, store: CustomerStore, tenant: str) -> None:
    """A created customer is answered as it is stored, with 201."""
    answer = caller.call("CreateCustomer", pb.CreateCustomerRequest(customer=customer()))
    [created] = answer.responses
    assert answer.code is grpc.StatusCode.OK
    assert answer.headers == {"x-http-code": "201"}
    assert store.get(tenant, Key.id(created.id)) == created.SerializeToString()


def test_create_customer_in_region(server: Any) -> None:
    """A tenant's default region is asked for by the tenant's name."""
    created = Caller(server, "german").create(mobile="0151 12345678")
    assert created.mobile == "+4915112345678"


def test_upload_customers(caller: Caller, store: CustomerStore, tenant: str) -> None:
    """An upload answers each item in order, and says 200 if one was not stored."""
    items = [pb.UploadCustomersRequest(customer=it) for it in (customer(), None, customer())]
    answer = caller.call("UploadCustomers", *items)
    assert answer.headers == {}
    assert [it.index for it in answer.responses] == [0, 1, 2]
    outcomes = [it.WhichOneof("outcome") for it in answer.responses]
    assert outcomes == ["customer", "error", "customer"]
    stored = answer.responses[2].customer
    assert store.get(tenant, Key.id(stored.id)) == stored.SerializeToString()


def test_upload_customers_all(caller: Caller) -> None:
    """An upload of which all was stored says 201."""
    item = pb.UploadCustomersRequest(customer=customer())
    assert caller.call("UploadCustomers", item).headers == {"x-http-code": "201"}


def test_validate_customer(caller: Caller, store: CustomerStore, tenant: str) -> None:
    """A checked customer is answered as it would be stored, and is not stored."""
    checking = pb.ValidateCustomerRequest(customer=customer(first_name="Ada"))
    [checked] = caller.call("ValidateCustomer", checking).responses
    assert (checked.first_name, checked.active, checked.id) == ("Ada", True, "")
    assert store.search(tenant, {"first_name": "ada"}, "", 1) == []


def test_update_customer(caller: Caller, store: CustomerStore, tenant: str) -> None:
    """An updated customer is answered as it is stored."""
    created = caller.create(first_name="Ada")
    change = pb.UpdateCustomerRequest(customer=Customer(id=created.id, first_name="Augusta"))
    [updated] = caller.call("UpdateCustomer", change).responses
    assert (updated.first_name, updated.email) == ("Augusta", created.email)
    assert store.get(tenant, Key.id(created.id)) == updated.SerializeToString()


def test_add_customer_address(caller: Caller, store: CustomerStore, tenant: str) -> None:
    """A customer with one more address is answered as it is stored."""
    created = caller.create()
    adding = pb.AddCustomerAddressRequest(id=created.id, address=Address(city="Berlin"))
    [changed] = caller.call("AddCustomerAddress", adding).responses
    assert [it.city for it in changed.addresses] == ["Berlin"]
    assert store.get(tenant, Key.id(created.id)) == changed.SerializeToString()


def test_merge_customers(caller: Caller, store: CustomerStore, tenant: str) -> None:
    """A merged customer is answered as it is stored, beside the tombstone of the dropped one."""
    kept, dropped = caller.create(), caller.create(first_name="Ada")
    request = pb.MergeCustomersRequest(id=kept.id, dropped_id=dropped.id)
    answer = caller.call("MergeCustomers", request)
    [merged] = answer.responses
    body = store.get(tenant, Key.id(kept.id))
    assert (merged.customer.first_name, merged.dropped.id) == ("Ada", dropped.id)
    assert body is not None
    assert answer.etag == etag(body)
    assert Customer.FromString(body) == merged.customer
    assert store.get(tenant, Key.id(dropped.id)) is None


def test_get_customer(caller: Caller) -> None:
    """A customer that is only read is answered as the bytes that are stored."""
    created = caller.create()
    answer = caller.call("GetCustomer", pb.GetCustomerRequest(id=created.id))
    assert answer.responses == [created]


def test_get_customer_missing(caller: Caller) -> None:
    """A missing customer is no bytes, the encoding of an empty one, with 204."""
    answer = caller.call("GetCustomer", pb.GetCustomerRequest(id=UNKNOWN_ID))
    assert answer.responses == [Customer()]
    assert answer.headers == {"x-http-code": "204"}


def test_get_customer_by_ref(caller: Caller) -> None:
    """A customer that is read by its reference is answered as the bytes that are stored."""
    created = caller.create(customer_ref="A-1")
    answer = caller.call("GetCustomerByRef", pb.GetCustomerByRefRequest(customer_ref="A-1"))
    assert answer.responses == [created]


def test_lookup_customers(caller: Caller) -> None:
    """A lookup streams the stored bytes of a page, behind the token of the next."""
    created = [caller.create(last_name="Same") for _ in range(3)]
    request = pb.LookupCustomersRequest(last_name="Same", page_size=2)
    first = caller.call("LookupCustomers", request)
    request.page_token = first.headers["x-next-page-token"]
    second = caller.call("LookupCustomers", request)
    assert set(first.headers) == {"x-next-page-token", "link"}
    assert second.headers == {}
    assert [first.responses, second.responses] == [created[:2], created[2:]]


def test_delete_customer(caller: Caller, store: CustomerStore, tenant: str) -> None:
    """A deleted customer is answered with nothing and 204, and is gone."""
    created = caller.create()
    answer = caller.call("DeleteCustomer", pb.DeleteCustomerRequest(id=created.id))
    assert answer.responses == [Empty()]
    assert answer.headers == {"x-http-code": "204"}
    assert store.get(tenant, Key.id(created.id)) is None


def test_delete_customer_by_ref(caller: Caller, store: CustomerStore, tenant: str) -> None:
    """A customer that is deleted by its reference is answered with nothing and 204, and is gone."""
    created = caller.create(customer_ref="A-1")
    request = pb.DeleteCustomerByRefRequest(customer_ref="A-1", id=created.id)
    answer = caller.call("DeleteCustomerByRef", request)
    assert answer.responses == [Empty()]
    assert answer.headers == {"x-http-code": "204"}
    assert store.get(tenant, Key.id(created.id)) is None


TAKEN = Customer(email="TAKEN@example.com")
INVALID, EXISTS, NOT_FOUND, PRECONDITION = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
)
# Requests that fail where taken@example.com has the reference T-1: RPC, code, start of the message.
FAILURES: list[tuple[Message, str, grpc.StatusCode, str]] = [
    (pb.CreateCustomerRequest(), "CreateCustomer", INVALID, "email: "),
    (pb.CreateCustomerRequest(customer=TAKEN), "CreateCustomer", EXISTS, "another customer"),
    (pb.ValidateCustomerRequest(), "ValidateCustomer", INVALID, "email: "),
    (pb.ValidateCustomerRequest(customer=TAKEN), "ValidateCustomer", EXISTS, "another customer"),
    (pb.UpdateCustomerRequest(customer=TAKEN), "UpdateCustomer", INVALID, "id: "),
    (
        pb.UpdateCustomerRequest(customer=Customer(id=UNKNOWN_ID)),
        "UpdateCustomer",
        NOT_FOUND,
        "ResourceNotFound",
    ),
    (
        pb.UpdateCustomerRequest(customer=Customer(customer_ref="T-1", dob="x")),
        "UpdateCustomer",
        INVALID,
        "dob: ",
    ),
    (
        pb.UpdateCustomerRequest(customer=Customer(customer_ref="T-2", email=TAKEN.email)),
        "UpdateCustomer",
        EXISTS,
        "another customer",
    ),
    (pb.AddCustomerAddressRequest(), "AddCustomerAddress", INVALID, "id: "),
    (
        pb.AddCustomerAddressRequest(id=UNKNOWN_ID, address=Address(city="Berlin")),
        "AddCustomerAddress",
        NOT_FOUND,
        "ResourceNotFound",
    ),
    (pb.MergeCustomersRequest(), "MergeCustomers", INVALID, "id: "),
    (
        pb.MergeCustomersRequest(id=UNKNOWN_ID, dropped_id=UNKNOWN_ID[::-1]),
        "MergeCustomers",
        INVALID,
        "droppedId: ",
    ),
    (pb.GetCustomerRequest(), "GetCustomer", INVALID, "id: "),
    (pb.GetCustomerByRefRequest(), "GetCustomerByRef", INVALID, "customerRef: "),
    (
        pb.GetCustomerByRefRequest(customer_ref="T-3"),
        "GetCustomerByRef",
        NOT_FOUND,
        "ResourceNotFound",
    ),
    (pb.LookupCustomersRequest(), "LookupCustomers", INVALID, "email: "),
    (pb.ListCustomersRequest(filter="x"), "ListCustomers", INVALID, "filter: "),
    (pb.ListCustomerChangesRequest(cursor="x"), "ListCustomerChanges", INVALID, "cursor: "),
    (pb.WatchCustomersRequest(cursor="x"), "WatchCustomers", INVALID, "cursor: "),
    (pb.DeleteCustomerRequest(), "DeleteCustomer", INVALID, "id: "),
    (pb.DeleteCustomerByRefRequest(), "DeleteCustomerByRef", INVALID, "customerRef: "),
    (pb.RestoreCustomerRequest(), "RestoreCustomer", INVALID, "id: "),
    (pb.RestoreCustomerRequest(id=UNKNOWN_ID), "RestoreCustomer", NOT_FOUND, "ResourceNotFound"),
    (pb.EraseCustomerRequest(), "EraseCustomer", INVALID, "id: "),
    (
        pb.DeleteCustomerByRefRequest(customer_ref="T-1", id=UNKNOWN_ID),
        "DeleteCustomerByRef",
        PRECONDITION,
        "the customer",
    ),
]


@pytest.mark.parametrize(
    ("request_", "rpc", "code", "message"), FAILURES, ids=[f"{it[1]}-{it[3]}" for it in FAILURES]
)
def test_failures(
    caller: Caller, request_: Message, rpc: str, code: grpc.StatusCode, message: str
) -> None:
    """An RPC that fails says why, and sends no response."""
    caller.create(email="taken@example.com", customer_ref="T-1")
    caller.create(customer_ref="T-2")
    answer = caller.call(rpc, request_)
    assert answer.code is code
    assert answer.message.startswith(message)
    assert [it for it in answer.responses if it is not None] == []


@pytest.mark.parametrize("rpc", [method.name for method in SERVICE.methods])
def test_no_tenant(server: Any, rpc: str) -> None:
    """No RPC is without a tenant."""
    request = GetMessageClass(SERVICE.methods_by_name[rpc].input_type)()
    answer = Caller(server, "").call(rpc, request)
    assert answer.code is INVALID
    assert "X-TWC-Tenant" in answer.message
