"""A failure that nobody foresaw is told to no client, and its text to no log."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import grpc
import pytest
from google.protobuf.message import Message
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Address, Customer

from tests.support.builders import UNKNOWN_ID
from tests.support.client import SERVICE, as_tenant, failure, send
from tests.support.tokens import trust
from twc_customer_server.api.servicer import CustomerServicer
from twc_customer_server.app import authenticator
from twc_customer_server.middleware.rpc import wrap
from twc_customer_server.settings.model import Settings
from twc_customer_server.storage.stores import Stores
from twc_customer_server.telemetry.metrics import ServiceMetrics
from twc_customer_server.transport import services

# Kept out of the line that raises it: a log of the line is no leak.
PRIVATE = "secret@example.com"

REQUESTS: dict[str, Message] = {
    "CreateCustomer": pb.CreateCustomerRequest(customer=Customer(email=PRIVATE)),
    "UploadCustomers": pb.UploadCustomersRequest(customer=Customer(email=PRIVATE)),
    "ValidateCustomer": pb.ValidateCustomerRequest(customer=Customer(email=PRIVATE)),
    "UpdateCustomer": pb.UpdateCustomerRequest(customer=Customer(id=UNKNOWN_ID)),
    "AddCustomerAddress": pb.AddCustomerAddressRequest(
        id=UNKNOWN_ID, address=Address(city=PRIVATE)
    ),
    "UpdateCustomerAddress": pb.UpdateCustomerAddressRequest(
        id=UNKNOWN_ID, address_id=UNKNOWN_ID, address=Address(city=PRIVATE)
    ),
    "DeleteCustomerAddress": pb.DeleteCustomerAddressRequest(id=UNKNOWN_ID, address_id=UNKNOWN_ID),
    "MergeCustomers": pb.MergeCustomersRequest(
        id=UNKNOWN_ID, dropped_id="01938f6e-0000-7000-8000-000000000001"
    ),
    "GetCustomer": pb.GetCustomerRequest(id=UNKNOWN_ID),
    "GetCustomerByRef": pb.GetCustomerByRefRequest(customer_ref=PRIVATE),
    "GetCustomerByAlternateRef": pb.GetCustomerByAlternateRefRequest(
        alternate_customer_ref=PRIVATE
    ),
    "GetCustomerByEmail": pb.GetCustomerByEmailRequest(email=PRIVATE),
    "LookupCustomers": pb.LookupCustomersRequest(email=PRIVATE),
    "ListCustomers": pb.ListCustomersRequest(filter=f"email = {PRIVATE}"),
    "DeleteCustomer": pb.DeleteCustomerRequest(id=UNKNOWN_ID),
    "DeleteCustomerByRef": pb.DeleteCustomerByRefRequest(customer_ref=PRIVATE),
    "RestoreCustomer": pb.RestoreCustomerRequest(id=UNKNOWN_ID),
    "EraseCustomer": pb.EraseCustomerRequest(id=UNKNOWN_ID),
    "ImportCustomers": pb.ImportCustomersRequest(
        items=[pb.ImportItem(customer=Customer(email=PRIVATE))]
    ),
    "ExportCustomers": pb.ExportCustomersRequest(),
    "ListCustomerChanges": pb.ListCustomerChangesRequest(),
    "WatchCustomers": pb.WatchCustomersRequest(),
}


class BrokenStore:
    """A store that fails in every call."""

    def __getattr__(self, _name: str) -> Any:
        return self._fail

    def _fail(self, *_arguments: object, **_options: object) -> NoReturn:
        raise RuntimeError(PRIVATE) from KeyError(PRIVATE)


@pytest.fixture(scope="module")
def broken() -> Iterator[grpc.Channel]:
    """A channel to a server whose store is broken."""
    store: Any = BrokenStore()
    servicer = CustomerServicer(Stores(*[store] * len(Stores._fields)), lambda _: None)
    server = grpc.server(ThreadPoolExecutor(2))
    services.register(
        server, wrap(servicer, authenticator(Settings(**trust())), ServiceMetrics(SERVICE))
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    server.stop(None).wait()


def test_requests_of_every_rpc() -> None:
    """The requests below are those of every RPC of the service."""
    assert set(REQUESTS) == {method.name for method in SERVICE.methods}


@pytest.mark.parametrize(("rpc", "request_"), REQUESTS.items(), ids=REQUESTS)
def test_unforeseen_failure(
    broken: grpc.Channel, caplog: pytest.LogCaptureFixture, rpc: str, request_: Message
) -> None:
    """It is INTERNAL_ERROR to the client; the log has its kind and place, and neither its text."""
    encoded = request_.SerializeToString()
    failed = failure(lambda: send(broken, rpc, encoded, as_tenant("acme")))
    assert failed.code is grpc.StatusCode.INTERNAL
    assert (failed.reason, failed.domain) == ("INTERNAL_ERROR", "customer.twc")
    assert PRIVATE not in repr(failed)
    assert f"{rpc} failed with RuntimeError" in caplog.text
    logged = [vars(record) for record in caplog.records if record.levelname == "ERROR"]
    assert "test_unforeseen.py" in str(logged[0]["places"])
    assert PRIVATE not in str(logged)
