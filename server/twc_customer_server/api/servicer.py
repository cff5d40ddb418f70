"""The RPCs of CustomerService, each a few steps: rules, then storage, then the response."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial

from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Address, Customer

from twc_customer_server import contract
from twc_customer_server.api import bulk, exports, imports, selectors
from twc_customer_server.api.changes import ChangeFeed
from twc_customer_server.api.deletions import Deletions
from twc_customer_server.api.idempotency import Answer, KeyedRequest
from twc_customer_server.api.merges import Merge
from twc_customer_server.api.reads import Reads, Region
from twc_customer_server.api.selectors import etag, precondition_of
from twc_customer_server.customers import update
from twc_customer_server.customers.context import ValidationContext
from twc_customer_server.customers.customer import is_unchanged, prepare_new, set_server_fields
from twc_customer_server.customers.fields import MAX_VIOLATIONS, to_milliseconds
from twc_customer_server.errors import AlreadyExists, IdMismatch
from twc_customer_server.middleware.rpc import Call
from twc_customer_server.storage.rows import Key
from twc_customer_server.storage.stores import Stores


class CustomerServicer(Reads):
    """Serves every RPC from the stores. A customer that is only read passes as stored bytes."""

    def __init__(
        self,
        stores: Stores,
        region: Region,
        *,
        accept_email_dots: bool = False,
        erase_scope: str = contract.ERASE_SCOPE,
    ) -> None:
        """`region` returns a tenant's default region, if it has one; the others are settings."""
        super().__init__(stores.customers, region)
        self._store = stores.customers
        self._idempotency = stores.idempotency
        self._exports = stores.exports
        self._merges = stores.merges
        self._feed = ChangeFeed(stores.changes)
        self._deletions = Deletions(stores.deletions, erase_scope)
        self._email_dots = accept_email_dots

    def stop_waiting(self) -> None:
        """Ends the calls that wait for changes."""
        self._feed.stop()

    def CreateCustomer(self, request: pb.CreateCustomerRequest, call: Call) -> bytes:
        keyed = KeyedRequest.of(call, "CreateCustomer", request)
        self._prepare(call.tenant, request.customer)
        insert = partial(self._store.insert, call.tenant, request.customer)
        body = self._run(call, keyed, insert)
        # Of a repeat it is the customer that the first request has created.
        customer_id = Customer.FromString(body).id if keyed else request.customer.id
        call.set_status(201, ("etag", etag(body)), *selectors.location(call, customer_id))
        return body

    def UploadCustomers(
        self, requests: Iterable[pb.UploadCustomersRequest], call: Call
    ) -> Iterator[pb.UploadCustomersResult]:
        keyed = KeyedRequest.of(call, "UploadCustomers")
        received = requests if keyed is None else keyed.record(requests)
        # Validated once, since a transaction may run several times.
        upload = bulk.collect(received, partial(self._prepare, call.tenant))
        store = partial(bulk.store_upload, self._store, call.tenant, upload)
        if keyed is None:
            outcomes = store()
            created = (isinstance(outcome, Customer) for outcome in outcomes)
            results = bulk.upload_results(outcomes)
        else:
            answer = keyed.run(
                self._idempotency, call.tenant, lambda: bulk.to_answer(store()), bulk=True
            )
            kept = bulk.decode(answer)
            created = (result.HasField("customer") for result in kept)
            results = iter(kept)
        call.set_status(201 if all(created) else 200)
        return results

    def ImportCustomers(
        self, requests: Iterable[pb.ImportCustomersRequest], call: Call
    ) -> Iterator[pb.ImportCustomersResponse]:
        # Some clients wait for the response metadata before they send a batch.
        call.set_status(200)
        prepare = partial(self._prepare, call.tenant)
        revise = partial(self._revise, call.tenant)

        def import_batch(request: pb.ImportCustomersRequest) -> pb.ImportCustomersResponse:
            return imports.import_batch(self._store, call.tenant, request, prepare, revise)

        # Nothing keeps a batch that was answered while the next one is awaited.
        return map(import_batch, requests)

    def ExportCustomers(self, request: pb.ExportCustomersRequest, call: Call) -> Iterator[bytes]:
        begin = partial(self._exports.begin, call.tenant)
        parsed = exports.parse(request, call.tenant, begin, _now())
        is_empty = True
        for part in self._exports.read(call.tenant, parsed.export):
            is_empty = False
            yield exports.response(parsed, part)
        if is_empty:
            yield exports.response(parsed, ())

    def ListCustomerChanges(
        self, request: pb.ListCustomerChangesRequest, call: Call
    ) -> pb.ListCustomerChangesResponse:
        return self._feed.page(request, call)

    def WatchCustomers(
        self, request: pb.WatchCustomersRequest, call: Call
    ) -> Iterator[pb.WatchCustomersResponse]:
        # Clients see that the stream has begun, long before the first change.
        call.set_status(200)
        return self._feed.watch(request, call)

    def ValidateCustomer(self, request: pb.ValidateCustomerRequest, call: Call) -> Customer:
        customer, own_id = request.customer, request.customer.id.lower()
        prepare_new(customer, self._context(call.tenant))
        clashes = self._store.clashes(call.tenant, customer)
        if others := [it for it in clashes if it.customer_id != own_id]:
            raise AlreadyExists(others)
        return customer

    def UpdateCustomer(self, request: pb.UpdateCustomerRequest, call: Call) -> bytes:
        keyed = KeyedRequest.of(call, "UpdateCustomer", request)
        key = selectors.of_update(request)
        mask = update.mask_of(request)

        def edit(stored: Customer, context: ValidationContext) -> None:
            if request.customer.id not in ("", stored.id):
                raise IdMismatch(f"the customer with this {key.field} has another id")
            # A copy, since the update modifies it and may run again.
            given = Customer()
            given.CopyFrom(request.customer)
            update.update(stored, given, mask, context)

        return self._change(call, keyed, key, edit)

    def AddCustomerAddress(self, request: pb.AddCustomerAddressRequest, call: Call) -> bytes:
        keyed = KeyedRequest.of(call, "AddCustomerAddress", request)

        def edit(stored: Customer, context: ValidationContext) -> None:
            update.add_address(stored, request.address, context)

        return self._change(call, keyed, selectors.of_id(request.id), edit)

    def UpdateCustomerAddress(self, request: pb.UpdateCustomerAddressRequest, call: Call) -> bytes:
        keyed = KeyedRequest.of(call, "UpdateCustomerAddress", request)
        address_id = selectors.parse_id("addressId", request.address_id)

        def edit(stored: Customer, context: ValidationContext) -> None:
            given = Address()
            given.CopyFrom(request.address)
            update.update_address(stored, address_id, given, request.cleared_fields, context)

        return self._change(call, keyed, selectors.of_id(request.id), edit)

    def DeleteCustomerAddress(self, request: pb.DeleteCustomerAddressRequest, call: Call) -> bytes:
        keyed = KeyedRequest.of(call, "DeleteCustomerAddress", request)
        address_id = selectors.parse_id("addressId", request.address_id)

        def edit(stored: Customer, context: ValidationContext) -> bool:
            return update.delete_address(stored, address_id, context)

        return self._change(call, keyed, selectors.of_id(request.id), edit)

    def MergeCustomers(
        self, request: pb.MergeCustomersRequest, call: Call
    ) -> pb.MergeCustomersResponse:
        keyed = None if request.validate_only else KeyedRequest.of(call, "MergeCustomers", request)
        merge = Merge(self._merges, request, call, self._context)
        return merge.respond(self._run(call, keyed, merge.run, merge.to_answer))

    def DeleteCustomer(self, request: pb.DeleteCustomerRequest, call: Call) -> Empty:
        keyed = KeyedRequest.of(call, "DeleteCustomer", request)
        return self._delete(call, keyed, selectors.of_id(request.id))

    def DeleteCustomerByRef(self, request: pb.DeleteCustomerByRefRequest, call: Call) -> Empty:
        keyed = KeyedRequest.of(call, "DeleteCustomerByRef", request)
        only_id = selectors.parse_id("id", request.id) if request.HasField("id") else None
        if only_id and not request.HasField("customer_ref"):
            return self._delete(call, keyed, Key.id(only_id))
        return self._delete(call, keyed, selectors.of_ref(request.customer_ref), only_id)

    def RestoreCustomer(self, request: pb.RestoreCustomerRequest, call: Call) -> bytes:
        keyed = KeyedRequest.of(call, "RestoreCustomer", request)
        body = self._run(call, keyed, self._deletions.restoration(request, call))
        call.set_status(200, ("etag", etag(body)))
        return body

    def EraseCustomer(self, request: pb.EraseCustomerRequest, call: Call) -> Empty:
        return self._deletions.erase(request, call)

    def _prepare(
        self, tenant: str, customer: Customer, max_violations: int = MAX_VIOLATIONS
    ) -> None:
        """Validates and completes a request's new customer, in place. Raises InvalidInput."""
        context = self._context(tenant, max_violations)
        prepare_new(customer, context)
        set_server_fields(customer, context.now)

    def _revise(self, tenant: str, stored: Customer, request: Customer) -> Customer | None:
        """Returns a stored customer with the fields that a request sets; None if none differs.

        Raises InvalidInput.
        """
        context = self._context(tenant)
        changed = Customer()
        changed.CopyFrom(stored)
        update.update(changed, request, FieldMask(), context)
        if is_unchanged(changed, stored):
            return None
        set_server_fields(changed, context.now)
        return changed

    def _context(self, tenant: str, max_violations: int = MAX_VIOLATIONS) -> ValidationContext:
        """Returns the facts that the rules need beside a customer of a tenant, as of now."""
        return ValidationContext(
            _now(),
            self._region(tenant),
            max_violations=max_violations,
            accept_email_dots=self._email_dots,
        )

    def _change(
        self,
        call: Call,
        keyed: KeyedRequest | None,
        key: Key,
        edit: Callable[[Customer, ValidationContext], bool | None],
    ) -> bytes:
        """Edits a stored customer if If-Match allows, and returns its encoding.

        One that `edit` returns False of keeps its date.
        """

        def edit_and_set(stored: Customer) -> bool:
            context = self._context(call.tenant)
            is_changed = edit(stored, context) is not False
            if is_changed:
                set_server_fields(stored, context.now)
            return is_changed

        change = partial(self._store.change, call.tenant, key, edit_and_set, precondition_of(call))
        body = self._run(call, keyed, change)
        call.set_status(200, ("etag", etag(body)))
        return body

    def _delete(
        self, call: Call, keyed: KeyedRequest | None, key: Key, only_id: str | None = None
    ) -> Empty:
        require_tag = precondition_of(call)

        def precondition(body: bytes) -> None:
            if only_id not in (None, Customer.FromString(body).id):
                raise IdMismatch(f"the customer with this {key.field} has another id")
            if require_tag is not None:
                require_tag(body)

        is_conditional = only_id is not None or require_tag is not None
        now, check = to_milliseconds(_now()), precondition if is_conditional else None

        def delete() -> bytes:
            self._store.delete(call.tenant, key, now, check)
            return b""

        self._run(call, keyed, delete)
        call.set_status(204)
        return Empty()

    def _run(
        self,
        call: Call,
        keyed: KeyedRequest | None,
        action: Callable[[], bytes],
        to_answer: Callable[[bytes], Answer] = Answer.of_one,
    ) -> bytes:
        """Runs an action, once for all repeats of a request with an idempotency key."""
        run = keyed and partial(keyed.run, self._idempotency, call.tenant)
        return run(lambda: to_answer(action())) if run else action()


def _now() -> datetime:
    return datetime.now(UTC)
