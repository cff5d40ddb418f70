# Made of `aio/bulk.py` by `make format`: change that.
"""The calls for many customers: uploads, imports, exports, and changes as they come."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal, overload

from google.protobuf.timestamp_pb2 import Timestamp
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from twc_customer_client.calls import CallOptions, Position
from twc_customer_client.results import ImportResult, UploadResult, upload_result
from twc_customer_client.sync import feeds, imports
from twc_customer_client.sync.connection import Connection
from twc_customer_client.sync.items import Items
from twc_customer_client.sync.runtime import Source

# A follower outlives a restart of the service, or of its database.
_FOLLOW_RETRY_SECONDS = 300.0


class Bulk(Connection):
    """Stores and reads many customers."""

    def upload(
        self,
        customers: Iterable[Customer],
        *,
        atomic: bool = False,
        idempotency_key: str | None = None,
        timeout: float | None = None,
    ) -> Sequence[UploadResult]:
        """Stores up to 10,000 new customers at once, and returns the result of each.

        An `atomic` upload stores all or none, and raises InvalidCustomer or
        AlreadyExists if one cannot be stored.
        """
        requests = [pb.UploadCustomersRequest(customer=each, atomic=atomic) for each in customers]
        if not requests:
            return ()
        options = self._write_options(timeout, idempotency_key)
        answer = self._calls.upload(self._stub.UploadCustomers, requests, options)
        return [upload_result(each) for each in answer.value]

    def import_customers(
        self,
        customers: Source[Customer],
        *,
        on_conflict: pb.ImportCustomersRequest.OnConflict = pb.ImportCustomersRequest.REJECT,
        validate_only: bool = False,
    ) -> Items[ImportResult]:
        """Stores any number of customers, and iterates over the result of each, in order.

        Customers are read as results are taken. `on_conflict` tells what becomes of
        customers that clash with others: `REJECT`, `SKIP` or `UPDATE`. After a
        break the batches without a result are sent again, which stores nobody twice.
        """
        template = pb.ImportCustomersRequest(on_conflict=on_conflict, validate_only=validate_only)
        rpc = self._stub.ImportCustomers
        return Items(imports.import_customers(self._calls, rpc, customers, template), Position())

    def import_batches(
        self, batches: Source[pb.ImportCustomersRequest]
    ) -> Items[pb.ImportCustomersResponse]:
        """Sends batches as they are, and iterates over the response to each, in order.

        A batch without items has an empty response, and is not sent. An error of
        `batches` is raised after the last response.
        """
        rpc = self._stub.ImportCustomers
        return Items(imports.send_batches(self._calls, rpc, batches), Position())

    @overload
    def export(
        self,
        *,
        cursor: str | None = None,
        modified_since: datetime | None = None,
        include_deleted: Literal[False] = False,
    ) -> Items[Customer]: ...

    @overload
    def export(
        self,
        *,
        cursor: str | None = None,
        modified_since: datetime | None = None,
        include_deleted: Literal[True],
    ) -> Items[Customer | pb.Tombstone]: ...

    def export(
        self,
        *,
        cursor: str | None = None,
        modified_since: datetime | None = None,
        include_deleted: bool = False,
    ) -> Items[Customer] | Items[Customer | pb.Tombstone]:
        """Iterates over all customers, or those that changed after a cursor or a time.

        When it is complete its `cursor` is that of the next export, or of `follow`.
        `include_deleted` returns deleted customers as tombstones. It resumes after
        a break.
        """
        request = pb.ExportCustomersRequest(
            cursor=cursor,
            modified_since=_timestamp(modified_since),
            include_deleted=include_deleted,
        )
        position = Position()
        return Items(feeds.export(self._calls, self._stub, request, position), position)

    def export_parts(self, request: pb.ExportCustomersRequest) -> Items[pb.ExportCustomersResponse]:
        """Iterates over the parts of an export as the service sends them."""
        own = pb.ExportCustomersRequest()
        own.CopyFrom(request)
        return Items(feeds.export_parts(self._calls, self._stub, own), Position())

    def changes(
        self,
        cursor: str | None = None,
        *,
        from_now: bool = False,
        page_size: int | None = None,
        timeout: float | None = None,
    ) -> Items[pb.CustomerChange]:
        """Iterates over the changes after a cursor, of all customers without one, and ends.

        Its `cursor` is where to go on; store it with what you made of the changes.
        `from_now` returns no changes, but a cursor for later ones. `timeout` is that
        of each page. Raises CursorExpired.
        """
        request = pb.ListCustomerChangesRequest(
            cursor=cursor, from_now=from_now, page_size=page_size
        )
        position = Position(cursor or "")
        options = CallOptions(timeout)
        items = feeds.changes(self._calls, self._stub, request, options, position)
        return Items(items, position)

    def follow(
        self,
        cursor: str | None = None,
        *,
        from_now: bool = False,
        retry_for: float = _FOLLOW_RETRY_SECONDS,
    ) -> Items[pb.CustomerChange]:
        """Iterates over the changes after a cursor, and over later ones as they come, without end.

        Without a cursor it begins with all customers, or `from_now`. After a break
        it resumes by itself, for `retry_for` seconds without a response. Its
        `cursor` is where to go on; store it with what you made of the changes.
        Raises CursorExpired.
        """
        request = pb.WatchCustomersRequest(cursor=cursor, from_now=from_now)
        position = Position(cursor or "")
        items = feeds.follow(self._calls, self._stub, request, position, retry_for)
        return Items(items, position)


def _timestamp(time: datetime | None) -> Timestamp | None:
    if time is None:
        return None
    timestamp = Timestamp()
    timestamp.FromDatetime(time)
    return timestamp
