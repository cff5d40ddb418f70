"""The API as a client sees it: calls for one tenant, and failures with their details."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar, cast

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Address, Customer
from twc.customer.v2.customer_service_pb2_grpc import CustomerServiceStub

from tests.support.tokens import token_for

SERVICE = pb.DESCRIPTOR.services_by_name["CustomerService"]
# What anything may take that comes about by itself, on a machine that is many times slower.
SECONDS = 120

Metadata = tuple[tuple[str, str | bytes], ...]
Request = TypeVar("Request")
Response = TypeVar("Response")


def as_tenant(name: str, token: str | None = None) -> Metadata:
    """The metadata of a call for a tenant, with a token of its own if one is given."""
    return (("authorization", f"Bearer {token or token_for(name)}"), tenant_header(name))


def tenant_header(name: str) -> tuple[str, str]:
    """The header that names a tenant."""
    return ("x-twc-tenant", name)


class Client:
    """Calls the API for one tenant. `headers` are those of the last answer."""

    def __init__(
        self,
        channel: grpc.Channel,
        tenant: str,
        metadata: Metadata = (),
        token: str | None = None,
    ) -> None:
        self.headers: dict[str, str | bytes] = {}
        self._channel = channel
        self._tenant = tenant
        self._token = token
        self._stub = CustomerServiceStub(channel)
        self._given = metadata
        self._metadata = (*as_tenant(tenant, token), *metadata)

    def given(self, **headers: str) -> "Client":
        """A client whose calls carry headers, too; `_` in a name stands for `-`."""
        more = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        return Client(self._channel, self._tenant, (*self._given, *more), self._token)

    @property
    def etag(self) -> str:
        """The entity tag of the last answer."""
        return str(self.headers["etag"])

    def create(self, customer: Customer | None) -> Customer:
        """Calls CreateCustomer."""
        return self._unary(self._stub.CreateCustomer, pb.CreateCustomerRequest(customer=customer))

    def upload(
        self, customers: Iterable[Customer | None], *, atomic: bool = False
    ) -> list[pb.UploadCustomersResult]:
        """Calls UploadCustomers with an item for each customer."""
        return self.send_upload(
            pb.UploadCustomersRequest(customer=customer, atomic=atomic) for customer in customers
        )

    def send_upload(
        self, items: Iterable[pb.UploadCustomersRequest]
    ) -> list[pb.UploadCustomersResult]:
        """Calls UploadCustomers with items as they are."""
        call = self._stub.UploadCustomers(iter(items), SECONDS, self._metadata)
        results = list(call)
        self.headers = _headers(call)
        return results

    def import_(
        self, batches: Iterable[pb.ImportCustomersRequest]
    ) -> Iterator[pb.ImportCustomersResponse]:
        """Calls ImportCustomers; the answers come as the batches are asked for."""
        return self._stub.ImportCustomers(iter(batches), SECONDS, self._metadata)

    def export(
        self, request: pb.ExportCustomersRequest | None = None
    ) -> Iterator[pb.ExportCustomersResponse]:
        """Calls ExportCustomers, for all customers unless told otherwise; answers as they come."""
        return self._stub.ExportCustomers(
            request or pb.ExportCustomersRequest(), SECONDS, self._metadata
        )

    def validate(self, customer: Customer | None) -> Customer:
        """Calls ValidateCustomer."""
        return self._unary(
            self._stub.ValidateCustomer, pb.ValidateCustomerRequest(customer=customer)
        )

    def update(self, customer: Customer | None, *mask: str) -> Customer:
        """Calls UpdateCustomer, with a mask if any field is named."""
        request = pb.UpdateCustomerRequest(customer=customer)
        if mask:
            request.update_mask.CopyFrom(FieldMask(paths=mask))
        return self._unary(self._stub.UpdateCustomer, request)

    def add_address(self, customer_id: str, address: Address | None) -> Customer:
        """Calls AddCustomerAddress."""
        return self._unary(
            self._stub.AddCustomerAddress,
            pb.AddCustomerAddressRequest(id=customer_id, address=address),
        )

    def update_address(
        self, customer_id: str, address_id: str, address: Address, *cleared: str
    ) -> Customer:
        """Calls UpdateCustomerAddress; `cleared` are fields to clear."""
        request = pb.UpdateCustomerAddressRequest(
            id=customer_id, address_id=address_id, address=address
        )
        if cleared:
            request.cleared_fields.paths.extend(cleared)
        return self._unary(self._stub.UpdateCustomerAddress, request)

    def delete_address(self, customer_id: str, address_id: str) -> Customer:
        """Calls DeleteCustomerAddress."""
        return self._unary(
            self._stub.DeleteCustomerAddress,
            pb.DeleteCustomerAddressRequest(id=customer_id, address_id=address_id),
        )

    def merge(
        self, kept_id: str, dropped_id: str, *taken: str, validate_only: bool = False
    ) -> pb.MergeCustomersResponse:
        """Calls MergeCustomers; `taken` are fields to take."""
        request = pb.MergeCustomersRequest(id=kept_id, dropped_id=dropped_id)
        request.taken_fields.paths.extend(taken)
        if validate_only:
            request.validate_only = True
        return self._unary(self._stub.MergeCustomers, request)

    def send_update(self, request: pb.UpdateCustomerRequest) -> Customer:
        """Calls UpdateCustomer with a request as it is."""
        return self._unary(self._stub.UpdateCustomer, request)

    def update_by(self, key: str, customer: Customer, *cleared: str) -> Customer:
        """Calls UpdateCustomer with a key; `cleared` are fields to clear."""
        request = pb.UpdateCustomerRequest(customer=customer, key=key)
        if cleared:
            request.cleared_fields.paths.extend(cleared)
        return self._unary(self._stub.UpdateCustomer, request)

    def get_by_email(self, email: str) -> Customer:
        """Calls GetCustomerByEmail."""
        return self._unary(self._stub.GetCustomerByEmail, pb.GetCustomerByEmailRequest(email=email))

    def get_by_alternate_ref(self, ref: str) -> Customer:
        """Calls GetCustomerByAlternateRef."""
        return self._unary(
            self._stub.GetCustomerByAlternateRef,
            pb.GetCustomerByAlternateRefRequest(alternate_customer_ref=ref),
        )

    def get(self, customer_id: str) -> Customer:
        """Calls GetCustomer."""
        return self._unary(self._stub.GetCustomer, pb.GetCustomerRequest(id=customer_id))

    def get_by_ref(self, ref: str) -> Customer:
        """Calls GetCustomerByRef."""
        return self._unary(
            self._stub.GetCustomerByRef, pb.GetCustomerByRefRequest(customer_ref=ref)
        )

    def lookup(self, request: pb.LookupCustomersRequest) -> list[Customer]:
        """Calls LookupCustomers."""
        call = self._stub.LookupCustomers(request, SECONDS, self._metadata)
        customers = list(call)
        self.headers = _headers(call)
        return customers

    def list_page(self, request: pb.ListCustomersRequest) -> pb.ListCustomersResponse:
        """Calls ListCustomers."""
        return self._unary(self._stub.ListCustomers, request)

    def changes(self, **fields: Any) -> pb.ListCustomerChangesResponse:
        """Calls ListCustomerChanges with the given fields."""
        request = pb.ListCustomerChangesRequest(**fields)
        return self._unary(self._stub.ListCustomerChanges, request)

    def watch(self, **fields: Any) -> Any:
        """Calls WatchCustomers with the given fields; returns the call, which yields responses."""
        return self._stub.WatchCustomers(
            pb.WatchCustomersRequest(**fields), SECONDS, self._metadata
        )

    def delete(self, customer_id: str) -> None:
        """Calls DeleteCustomer."""
        self._unary(self._stub.DeleteCustomer, pb.DeleteCustomerRequest(id=customer_id))

    def delete_by_ref(self, ref: str | None, only_id: str | None = None) -> None:
        """Calls DeleteCustomerByRef."""
        self._unary(
            self._stub.DeleteCustomerByRef,
            pb.DeleteCustomerByRefRequest(customer_ref=ref, id=only_id),
        )

    def restore(self, customer_id: str) -> Customer:
        """Calls RestoreCustomer."""
        return self._unary(self._stub.RestoreCustomer, pb.RestoreCustomerRequest(id=customer_id))

    def erase(self, customer_id: str) -> None:
        """Calls EraseCustomer."""
        self._unary(self._stub.EraseCustomer, pb.EraseCustomerRequest(id=customer_id))

    def _unary(
        self, rpc: "grpc.UnaryUnaryMultiCallable[Request, Response]", request: Request
    ) -> Response:
        answer, call = rpc.with_call(request, SECONDS, self._metadata)
        self.headers = _headers(call)
        return answer


class Failure(NamedTuple):
    """A failed call: its status, and what its details say, empty where there is no such detail."""

    code: grpc.StatusCode
    message: str
    reason: str
    domain: str
    # ErrorInfo's metadata
    owners: dict[str, str]
    # BadRequest's violations: descriptions by field
    fields: dict[str, str]
    # Each ResourceInfo's type and name
    resources: list[tuple[str, str]]
    # RetryInfo's delay, in seconds
    retry: float | None = None


def failure(act: Callable[[], object]) -> Failure:
    """Does what must fail with an RpcError, and reads that."""
    with pytest.raises(grpc.RpcError) as raised:
        act()
    return read_failure(raised.value)


def read_failure(error: grpc.RpcError) -> Failure:
    """Reads an error and the `google.rpc.Status` that comes with it."""
    info = error_details_pb2.ErrorInfo()
    bad_request = error_details_pb2.BadRequest()
    retry_info = error_details_pb2.RetryInfo()
    resources = []
    status = rpc_status.from_call(cast("grpc.Call", error))
    for detail in status.details if status else ():
        resource = error_details_pb2.ResourceInfo()
        kinds = (info, bad_request, resource, retry_info, error_details_pb2.RequestInfo())
        assert any(detail.Unpack(kind) for kind in kinds)
        if resource.resource_type:
            resources.append((resource.resource_type, resource.resource_name))
    return Failure(
        error.code(),
        error.details() or "",
        info.reason,
        info.domain,
        dict(info.metadata),
        {it.field: it.description for it in bad_request.field_violations},
        resources,
        retry_info.retry_delay.ToTimedelta().total_seconds() or None,
    )


def send(channel: grpc.Channel, rpc: str, encoded: bytes, metadata: Metadata) -> list[bytes]:
    """Calls an RPC of any kind with one request of any bytes; returns the encoded responses."""
    method = f"/{SERVICE.full_name}/{rpc}"
    call: grpc.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(method)
    return list(call(iter([encoded]), SECONDS, metadata))


def _headers(call: grpc.Call) -> dict[str, str | bytes]:
    headers = dict((*call.initial_metadata(), *call.trailing_metadata()))
    # Envoy stamps what it answers.
    headers.pop("date", None)
    return headers
