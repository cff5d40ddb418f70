"""The RPCs that look customers up, and list them."""

from collections.abc import Callable, Iterator

from twc.customer.v2 import customer_service_pb2 as pb

from twc_customer_server.api import listing, lookup, selectors
from twc_customer_server.errors import NotFound
from twc_customer_server.middleware.rpc import Call
from twc_customer_server.storage.database import Reader
from twc_customer_server.storage.reads import CustomerReads
from twc_customer_server.storage.rows import Key

# Returns a tenant's default region, if it has one.
Region = Callable[[str], str | None]


class Reads:
    """Serves the RPCs that read single customers, or find them."""

    def __init__(self, customers: CustomerReads, region: Region) -> None:
        self._customers = customers
        self._region = region

    def reading(self, reader: Reader) -> "Reads":
        """Returns the same RPCs, which read by another reader."""
        return Reads(self._customers.reading(reader), self._region)

    def GetCustomer(self, request: pb.GetCustomerRequest, call: Call) -> bytes:
        body = self._customers.get_by_id(call.tenant, selectors.parse_id("id", request.id))
        if body is None:
            call.set_status(204)
            return b""
        return selectors.respond_unless_cached(body, call)

    def GetCustomerByRef(self, request: pb.GetCustomerByRefRequest, call: Call) -> bytes:
        return self._get(call, selectors.of_ref(request.customer_ref))

    def GetCustomerByAlternateRef(
        self, request: pb.GetCustomerByAlternateRefRequest, call: Call
    ) -> bytes:
        return self._get(call, selectors.of_alternate_ref(request.alternate_customer_ref))

    def GetCustomerByEmail(self, request: pb.GetCustomerByEmailRequest, call: Call) -> bytes:
        return self._get(call, selectors.of_email(request.email))

    def LookupCustomers(self, request: pb.LookupCustomersRequest, call: Call) -> Iterator[bytes]:
        query = lookup.parse(request, call.tenant, self._region(call.tenant))
        page = self._customers.page(call.tenant, query.wanted, query.after, query.size)
        if page.has_more:
            token = lookup.page_token(call.tenant, query.wanted, page.found[-1].id)
            call.set_status(200, *lookup.page_headers(request, token))
        return iter([customer.body for customer in page.found])

    def ListCustomers(self, request: pb.ListCustomersRequest, call: Call) -> bytes:
        query = listing.parse(request, call.tenant, self._region(call.tenant))
        page = self._customers.list_page(call.tenant, query.listing, query.after, query.size)
        return listing.response(call.tenant, query.listing, page)

    def _get(self, call: Call, key: Key) -> bytes:
        body = self._customers.get(call.tenant, key)
        if body is None:
            raise NotFound(key.field)
        return selectors.respond_unless_cached(body, call)
