"""Reads from the contract how long each RPC may take, and whether it may be repeated."""

from collections.abc import Mapping
from typing import NamedTuple

from google.api import annotations_pb2
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from twc.customer.v2 import customer_service_pb2 as pb

SERVICE = pb.DESCRIPTOR.services_by_name["CustomerService"]

# One batch of an import takes at most 1,000 customers and 4 MiB.
BATCH_CUSTOMERS = 400
BATCH_BYTES = 1024 * 1024

# The largest message that the service sends is a customer over 4 MiB of a page.
MAX_MESSAGE_BYTES = 17 * 1024 * 1024

# The service answers a read within 5 s, a write within 15 s, an upload within 60 s: this
# client waits a little longer, so that it is the service that says what went wrong.
_READ_SECONDS = 10.0
_WRITE_SECONDS = 20.0
_SECONDS = {"UploadCustomers": 75.0, "ListCustomerChanges": 45.0}

# A stream that is idle for longer is broken, unless the caller waits less long. A feed without
# changes sends every 15 s, so that to wait less long for that would break it.
STREAM_SECONDS = 60.0
FEED_SECONDS = 45.0

# RPCs that change something, and need no idempotency key to be repeated.
_REPEATABLE_WRITES = ("ImportCustomers", "EraseCustomer")

# RPCs that change nothing, although GET does not call them.
_OTHER_READS = ("ValidateCustomer", "ExportCustomers", "WatchCustomers")


class Rpc(NamedTuple):
    """An RPC: its name, default timeout in seconds, and whether it may be repeated as it is."""

    name: str
    seconds: float
    is_safe: bool


def rpc_of(request: Message) -> Rpc:
    """Returns the RPC that takes a request; no two take the same."""
    return _RPCS[request.DESCRIPTOR.full_name]


def _describe(method: MethodDescriptor) -> Rpc:
    http = method.GetOptions().Extensions[annotations_pb2.http]
    is_read = bool(http.get) or method.name in _OTHER_READS
    seconds = _SECONDS.get(method.name, _READ_SECONDS if is_read else _WRITE_SECONDS)
    return Rpc(method.name, seconds, is_read or method.name in _REPEATABLE_WRITES)


_RPCS: Mapping[str, Rpc] = {
    method.input_type.full_name: _describe(method) for method in SERVICE.methods
}
