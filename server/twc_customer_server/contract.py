"""Facts of the contract that several rooms share: the service, its streams, limits, deadlines."""

from google.api import annotations_pb2
from twc.customer.v2 import customer_service_pb2

SERVICE = customer_service_pb2.DESCRIPTOR.services_by_name["CustomerService"]

# Streams that last for as long as there is something to send; all other RPCs have a deadline.
LONG_LIVED_RPCS = ("ImportCustomers", "ExportCustomers", "WatchCustomers")

# RPCs that wait for changes, on threads of their own.
WAITING_RPCS = ("ListCustomerChanges", "WatchCustomers")

# RPCs that can be called again whatever became of the first call: they change nothing or,
# of an import, store no customer twice.
REPEATABLE_RPCS = (
    *(
        method.name
        for method in SERVICE.methods
        if method.GetOptions().Extensions[annotations_pb2.http].get
    ),
    "ValidateCustomer",
    "ExportCustomers",
    "WatchCustomers",
    "ImportCustomers",
)

# The scope that EraseCustomer requires, unless the settings name another.
ERASE_SCOPE = "customers:erase"

# An upload, as a whole.
MAX_UPLOAD_CUSTOMERS = 10_000
MAX_UPLOAD_BYTES = 16 * 1024 * 1024

# One batch of an import.
MAX_BATCH_CUSTOMERS = 1_000
MAX_BATCH_BYTES = 4 * 1024 * 1024
BATCH_TOO_LARGE = (
    f"a batch takes at most {MAX_BATCH_CUSTOMERS:,} customers and "
    f"{MAX_BATCH_BYTES >> 20} MiB; send the rest in further batches"
)

# A request that is neither: a JSON body, or a message.
MAX_BODY_BYTES = 2 * 1024 * 1024

# Deadlines of the RPCs that have one, in seconds.
READ_SECONDS = 5
WRITE_SECONDS = 15
UPLOAD_SECONDS = 60

# The wait of a ListCustomerChanges, at most, and the deadline of that RPC.
MAX_WAIT_SECONDS = 30
LIST_CHANGES_SECONDS = MAX_WAIT_SECONDS + READ_SECONDS

# Seconds in which a stream's client must send, or take, the next message.
STREAM_IDLE_SECONDS = 60

# The header with which the server tells the gateway, and that tells it again, whose large body
# it is, and the seconds for which one waits while its tenant has as many as it may have.
LARGE_BODIES_HEADER = "x-twc-large-bodies"
LARGE_BODY_WAIT_SECONDS = 8
# The header with which the gateway tells how many bytes of large bodies it is to read at a time
# for all tenants, by way of each server.
LARGE_BODY_BYTES_HEADER = "x-twc-large-body-bytes"

# The headers with which the gateway tells the server, if calls are traced, the route of a REST
# request and when it got the request.
ROUTE_HEADER = "x-twc-route"
BEGAN_HEADER = "x-twc-began"

# The header with which the server tells the gateway that it has not begun a call, which
# another server may therefore run.
NOT_BEGUN_HEADER = "x-twc-not-begun"

# Errors that both the server and the gateway send.
ERROR_DOMAIN = "customer.twc"
BEARER_CHALLENGE = f'Bearer realm="{ERROR_DOMAIN}"'  # RFC 6750, section 3
CREDENTIALS_REQUIRED = "the header Authorization is required: Bearer and a token"
RETRY_SECONDS = 1
