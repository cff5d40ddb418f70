"""The RPCs of CustomerService, each a few steps: rules, then storage, then the answer."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from twc_customer_server.api import etags, exports, idempotency, imports, lookup, upload
from twc_customer_server.customers import changes, dates
from twc_customer_server.errors import AlreadyExists, IdMismatch, InvalidInput, NotFound, Violation
from twc_customer_server.middleware.rpc import Call
from twc_customer_server.storage.idempotency import Repeatable
from twc_customer_server.storage.store import CustomerStore, Key


class CustomerServicer:
    """Answers every RPC from one store. A customer that is only read passes as stored bytes."""

    def __init__(self, store: CustomerStore, region: Callable[[str], str | None]) -> None:
        self._store = store
        self._region = region

    def CreateCustomer(self, request: pb.CreateCustomerRequest, call: Call) -> bytes:
        repeat = self._repeat(call, "CreateCustomer", [request])
        customer = self._ready(call.tenant, request.customer)
        body = self._store.once(
            call.tenant, repeat, lambda: self._store.insert(call.tenant, customer)
        )
        call.answer(201, ("etag", etags.of(body)))
        return body

    def UploadCustomers(
        self, requests: Iterable[pb.UploadCustomersRequest], call: Call
    ) -> Iterator[pb.UploadCustomersResult]:
        items, atomic = upload.collect(requests)
        repeat = self._repeat(call, "UploadCustomers", items)
        customers = [item.customer for item in items]
        outcomes = self._prepared(call.tenant, customers)

        def act() -> bytes:
            stored = self._store_each(call.tenant, outcomes, _all_or_none if atomic else _any)
            if atomic and (refusal := upload.refusal(customers, stored)):
                raise refusal
            return upload.encode(upload.results(stored))

        results = upload.decode(self._store.once(call.tenant, repeat, act, bulk=True))
        call.answer(201 if all(result.HasField("customer") for result in results) else 200)
        return iter(results)

    def ImportCustomers(
        self, requests: Iterable[pb.ImportCustomersRequest], call: Call
    ) -> Iterator[pb.ImportCustomersResponse]:
        # What waits for the first answer to a stream may now wait for ever.
        call.answer(200)
        for request in requests:
            imports.check(request)
            customers = [item.customer for item in request.items]
            keep = _none if request.validate_only else _any
            prepared = self._prepared(call.tenant, customers)
            outcomes = self._store_each(call.tenant, prepared, keep)
            new = {each.id: each for each in outcomes if isinstance(each, Customer)}
            yield imports.response(
                request,
                [
                    self._unless_there(call.tenant, customer, outcome, new)
                    for customer, outcome in zip(customers, outcomes, strict=True)
                ],
            )

    def ExportCustomers(
        self, request: pb.ExportCustomersRequest, call: Call
    ) -> Iterator[pb.ExportCustomersResponse]:
        export = exports.read(request, call.tenant, _now())
        found = 0
        for part in self._store.export(call.tenant, export):
            found += len(part)
            yield exports.response(export, part)
        if not found:
            yield exports.response(export, ())

    def ValidateCustomer(self, request: pb.ValidateCustomerRequest, call: Call) -> Customer:
        customer = request.customer
        changes.new(customer, self._region(call.tenant), _now())
        if clashes := self._store.clashes(call.tenant, customer):
            raise AlreadyExists(clashes)
        return customer

    def UpdateCustomer(self, request: pb.UpdateCustomerRequest, call: Call) -> bytes:
        repeat = self._repeat(call, "UpdateCustomer", [request])

        def edit(stored: Customer, *, region: str | None, now: datetime) -> None:
            # It uses the request up, and may run again.
            given = Customer()
            given.CopyFrom(request.customer)
            changes.update(stored, given, request.update_mask, region, now)

        return self._change(call, repeat, _key_of(request.customer), edit)

    def AddCustomerAddress(self, request: pb.AddCustomerAddressRequest, call: Call) -> bytes:
        repeat = self._repeat(call, "AddCustomerAddress", [request])
        edit = partial(changes.add_address, address=request.address)
        return self._change(call, repeat, Key.id(_required("id", request.id)), edit)

    def GetCustomer(self, request: pb.GetCustomerRequest, call: Call) -> bytes:
        body = self._store.get(call.tenant, Key.id(_required("id", request.id)))
        if body is None:
            call.answer(204)
            return b""
        return _unless_known(body, call)

    def GetCustomerByRef(self, request: pb.GetCustomerByRefRequest, call: Call) -> bytes:
        key = Key.ref(_required("customerRef", request.customer_ref))
        body = self._store.get(call.tenant, key)
        if body is None:
            raise NotFound(key.field)
        return _unless_known(body, call)

    def LookupCustomers(self, request: pb.LookupCustomersRequest, call: Call) -> Iterator[bytes]:
        query = lookup.read(request, call.tenant, self._region(call.tenant))
        page = self._store.page(call.tenant, query.wanted, query.after, query.size)
        if page.has_more:
            token = lookup.page_token(call.tenant, query.wanted, page.found[-1].id)
            call.answer(200, *lookup.page_headers(request, token))
        return iter([customer.body for customer in page.found])

    def DeleteCustomer(self, request: pb.DeleteCustomerRequest, call: Call) -> Empty:
        return self._delete(call, Key.id(_required("id", request.id)))

    def DeleteCustomerByRef(self, request: pb.DeleteCustomerByRefRequest, call: Call) -> Empty:
        key = Key.ref(_required("customerRef", request.customer_ref))
        return self._delete(call, key, request.id if request.HasField("id") else None)

    def _repeat(self, call: Call, rpc: str, requests: Iterable[Message]) -> Repeatable | None:
        """The request as it came, before anything is made of it, if it may be repeated."""
        return idempotency.read(call.header(idempotency.HEADER), rpc, requests, _now())

    def _ready(self, tenant: str, customer: Customer) -> Customer:
        """Makes a request's customer, in place, the one to be stored. Raises InvalidInput."""
        now = _now()
        changes.new(customer, self._region(tenant), now)
        changes.stamp(customer, now)
        return customer

    def _change(
        self, call: Call, repeat: Repeatable | None, key: Key, edit: Callable[..., None]
    ) -> bytes:
        """Edits a stored customer by the rules, and returns it as stored."""
        region = self._region(call.tenant)
        check = partial(etags.check, call.header("if-match"))

        def unit(stored: Customer) -> None:
            now = _now()
            edit(stored, region=region, now=now)
            changes.stamp(stored, now)

        body = self._store.once(
            call.tenant, repeat, lambda: self._store.change(call.tenant, key, unit, check)
        )
        call.answer(200, ("etag", etags.of(body)))
        return body

    def _prepared(self, tenant: str, customers: Iterable[Customer]) -> list[upload.Outcome]:
        return upload.prepare(customers, lambda customer: self._ready(tenant, customer))

    def _store_each(
        self,
        tenant: str,
        outcomes: Sequence[upload.Outcome],
        keep: Callable[[Sequence[upload.Outcome]], bool],
    ) -> list[upload.Outcome]:
        """Stores customers that are ready, if `keep` says so of what would become of all."""
        ready = [outcome for outcome in outcomes if isinstance(outcome, Customer)]
        if not ready:
            return list(outcomes)
        refusals = self._store.insert_each(
            tenant, ready, lambda refusals: keep(upload.merged(outcomes, refusals))
        )
        return upload.merged(outcomes, refusals)

    def _unless_there(
        self,
        tenant: str,
        customer: Customer,
        outcome: upload.Outcome,
        new: Mapping[str, Customer],
    ) -> imports.Outcome:
        """Finds out whether a customer clashed with one that is the same.

        That may be one of the `new` of its batch, which are not stored if they
        are only checked.
        """
        if isinstance(outcome, AlreadyExists):
            [owner, *others] = {clash.customer_id for clash in outcome.clashes}
            there = None if others else new.get(owner) or self._stored(tenant, owner)
            if there and changes.is_same(customer, there):
                return imports.Unchanged(owner)
        return outcome

    def _stored(self, tenant: str, customer_id: str) -> Customer | None:
        body = self._store.get(tenant, Key.id(customer_id))
        return None if body is None else Customer.FromString(body)

    def _delete(self, call: Call, key: Key, only_id: str | None = None) -> Empty:
        condition = call.header("if-match")

        def check(body: bytes) -> None:
            if only_id not in (None, Customer.FromString(body).id):
                raise IdMismatch(f"the customer with this {key.field} has another id")
            etags.check(condition, body)

        guarded = check if (condition, only_id) != (None, None) else None
        self._store.delete(call.tenant, key, dates.to_milliseconds(_now()), guarded)
        call.answer(204)
        return Empty()


def _unless_known(body: bytes, call: Call) -> bytes:
    """Answers with a stored customer, unless If-None-Match says that the caller has it."""
    tag = etags.of(body)
    condition = call.header("if-none-match")
    if condition is not None and etags.matches(condition, tag):
        call.answer(304, ("etag", tag))
        return b""
    call.answer(200, ("etag", tag))
    return body


def _any(_outcomes: Sequence[upload.Outcome]) -> bool:
    return True


def _none(_outcomes: Sequence[upload.Outcome]) -> bool:
    return False


def _all_or_none(outcomes: Sequence[upload.Outcome]) -> bool:
    return all(isinstance(outcome, Customer) for outcome in outcomes)


def _now() -> datetime:
    return datetime.now(UTC)


def _required(field: str, value: str) -> str:
    if not value:
        raise InvalidInput([Violation(field, "is required")])
    return value


def _key_of(customer: Customer) -> Key:
    """What selects the customer of an update: its id, else its customerRef."""
    if customer.id:
        return Key.id(customer.id)
    if customer.customer_ref:
        return Key.ref(customer.customer_ref)
    raise InvalidInput([Violation("id", "is required, or customerRef, to select the customer")])
