"""The calls that change single customers."""

from collections.abc import Callable, Iterable
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Address, Customer

from twc_customer_client.aio.reads import AsyncReads
from twc_customer_client.calls import CallOptions, headers
from twc_customer_client.errors import EtagMismatch
from twc_customer_client.updates import changed_fields, fields_request, update_request

# Writers that keep changing one customer are few: more attempts would hide a mistake.
_MODIFY_ATTEMPTS = 10


class AsyncWrites(AsyncReads):
    """Changes customers."""

    async def create(
        self,
        customer: Customer,
        *,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> Customer:
        """Stores a new customer, and returns it. Raises InvalidCustomer, AlreadyExists."""
        request = pb.CreateCustomerRequest(customer=customer)
        options = self._write_options(timeout, idempotency_key)
        return (await self._calls.unary(self._stub.CreateCustomer, request, options)).value

    async def validate(self, customer: Customer, *, timeout: float | None = None) -> Customer:
        """Returns a customer as `create` would store it. Raises the errors that it would."""
        request = pb.ValidateCustomerRequest(customer=customer)
        options = CallOptions(timeout)
        return (await self._calls.unary(self._stub.ValidateCustomer, request, options)).value

    async def update(
        self,
        customer: Customer,
        *,
        update_mask: Iterable[str] | None = None,
        cleared_fields: Iterable[str] = (),
        key: str | None = None,
        if_match: str | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> Customer:
        """Changes the fields that are set in `customer`, and returns it as stored.

        Its `id`, else its `customer_ref`, selects it, unless `key` does, as in
        `email=ada@example.com`. `update_mask` names exactly the fields to change,
        `["*"]` all of them; `cleared_fields` those to clear beside the ones set.
        """
        request = update_request(customer, update_mask, cleared_fields, key)
        return await self._update(request, if_match, idempotency_key, timeout)

    async def update_fields(
        self,
        customer_id: str,
        /,
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
        **fields: Any,
    ) -> Customer:
        """Sets the given fields, as in `first_name="Ada"`, and clears those that are None.

        Raises ValueError if a customer has no such field.
        """
        request = fields_request(customer_id, fields)
        return await self._update(request, if_match, idempotency_key, timeout)

    async def modify(
        self,
        customer_id: str,
        change: Callable[[Customer], object],
        *,
        timeout: float | None = None,
    ) -> Customer:
        """Reads a customer, has `change` change it, and stores it, unless others have changed it.

        Then it reads it again, and calls `change` again. `timeout` is that of each
        call. Raises EtagMismatch if others always come first.
        """
        attempt = 1
        while True:
            customer, etag = await self.get_versioned(customer_id, timeout=timeout)
            before = Customer()
            before.CopyFrom(customer)
            change(customer)
            # The server takes a field that an update repeats, as `verified_email`, for given.
            changed = changed_fields(before, customer)
            if not changed:
                return customer
            try:
                return await self.update(
                    customer, update_mask=changed, if_match=etag, timeout=timeout
                )
            except EtagMismatch:
                if attempt == _MODIFY_ATTEMPTS:
                    raise
            attempt += 1

    async def add_address(
        self,
        customer_id: str,
        address: Address,
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> Customer:
        """Adds an address to a customer, and returns the customer."""
        request = pb.AddCustomerAddressRequest(id=customer_id, address=address)
        options = self._write_options(timeout, idempotency_key, if_match)
        return (await self._calls.unary(self._stub.AddCustomerAddress, request, options)).value

    async def update_address(
        self,
        customer_id: str,
        address_id: str,
        address: Address,
        *,
        cleared_fields: Iterable[str] = (),
        if_match: str | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> Customer:
        """Changes the fields of an address that are set, and returns the customer."""
        request = pb.UpdateCustomerAddressRequest(
            id=customer_id, address_id=address_id, address=address
        )
        request.cleared_fields.paths.extend(cleared_fields)
        options = self._write_options(timeout, idempotency_key, if_match)
        return (await self._calls.unary(self._stub.UpdateCustomerAddress, request, options)).value

    async def delete_address(
        self,
        customer_id: str,
        address_id: str,
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> Customer:
        """Removes an address of a customer, if it has that, and returns the customer."""
        request = pb.DeleteCustomerAddressRequest(id=customer_id, address_id=address_id)
        options = self._write_options(timeout, idempotency_key, if_match)
        return (await self._calls.unary(self._stub.DeleteCustomerAddress, request, options)).value

    async def merge(
        self,
        customer_id: str,
        dropped_id: str,
        *,
        taken_fields: Iterable[str] = (),
        validate_only: bool = False,
        if_match: str | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> pb.MergeCustomersResponse:
        """Merges one customer into another, which is kept, and deletes it.

        The kept customer takes what it lacks, and the values of `taken_fields`.
        With `validate_only` nothing is stored: the answer is what it would be.
        """
        request = pb.MergeCustomersRequest(id=customer_id, dropped_id=dropped_id)
        request.taken_fields.CopyFrom(FieldMask(paths=taken_fields))
        request.validate_only = validate_only
        options = self._write_options(timeout, idempotency_key, if_match)
        return (await self._calls.unary(self._stub.MergeCustomers, request, options)).value

    async def delete(
        self,
        customer_id: str,
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> None:
        """Marks a customer as deleted, if there is one with the id."""
        request = pb.DeleteCustomerRequest(id=customer_id)
        options = self._write_options(timeout, idempotency_key, if_match)
        await self._calls.unary(self._stub.DeleteCustomer, request, options)

    async def delete_by_ref(
        self,
        customer_ref: str,
        *,
        only_id: str | None = None,
        if_match: str | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> None:
        """Marks the customer with a reference as deleted, if there is one.

        Raises IdMismatch if that has another id than `only_id`.
        """
        request = pb.DeleteCustomerByRefRequest(customer_ref=customer_ref, id=only_id)
        options = self._write_options(timeout, idempotency_key, if_match)
        await self._calls.unary(self._stub.DeleteCustomerByRef, request, options)

    async def restore(
        self,
        customer_id: str,
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> Customer:
        """Makes a deleted customer live again. Raises NotFound, NotDeleted, AlreadyExists."""
        request = pb.RestoreCustomerRequest(id=customer_id)
        options = self._write_options(timeout, idempotency_key, if_match)
        return (await self._calls.unary(self._stub.RestoreCustomer, request, options)).value

    async def erase(
        self, customer_id: str, *, if_match: str | None = None, timeout: float | None = None
    ) -> None:
        """Removes all data of a customer, live or deleted, for good. Raises ScopeRequired."""
        request = pb.EraseCustomerRequest(id=customer_id)
        options = CallOptions(timeout, headers(if_match=if_match))
        await self._calls.unary(self._stub.EraseCustomer, request, options)

    async def _update(
        self,
        request: pb.UpdateCustomerRequest,
        if_match: str | None,
        idempotency_key: str | None,
        timeout: float | None,
    ) -> Customer:
        options = self._write_options(timeout, idempotency_key, if_match)
        return (await self._calls.unary(self._stub.UpdateCustomer, request, options)).value
