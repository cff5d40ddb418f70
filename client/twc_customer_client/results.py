"""Results of the clients' methods that are no messages of the contract."""

from dataclasses import dataclass
from typing import NamedTuple

from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from twc_customer_client.errors import CustomerError, read_status


class Versioned(NamedTuple):
    """A customer and its entity tag, which `if_match` takes."""

    customer: Customer
    etag: str


@dataclass(frozen=True)
class UploadResult:
    """The outcome of one customer of an upload: as it is stored, or why it is not."""

    index: int
    customer: Customer | None
    error: CustomerError | None


@dataclass(frozen=True)
class ImportResult:
    """The outcome of one customer of an import, by its position in it.

    `outcome` is `created`, `updated`, `unchanged`, `skipped`, `valid` or
    `error`; `customer_id` is that of the customer stored, if there is one.
    """

    index: int
    outcome: str
    customer_id: str
    error: CustomerError | None


def upload_result(result: pb.UploadCustomersResult) -> UploadResult:
    """Reads the result of an item of an upload."""
    is_stored = result.HasField("customer")
    return UploadResult(
        result.index,
        result.customer if is_stored else None,
        None if is_stored else read_status(result.error),
    )


def import_result(result: pb.ImportResult) -> ImportResult:
    """Reads the result of an item of an import."""
    outcome = result.WhichOneof("outcome") or ""
    value = getattr(result, outcome) if outcome else ""
    return ImportResult(
        result.sequence,
        outcome,
        value if isinstance(value, str) else "",
        read_status(result.error) if outcome == "error" else None,
    )
