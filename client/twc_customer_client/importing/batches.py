"""Batches of records: collects them into requests, and matches responses to them."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from twc.customer.v2 import customer_service_pb2 as pb

from twc_customer_client.command_errors import CommandError, item_violations
from twc_customer_client.errors import read_status
from twc_customer_client.formats.customer_json import InvalidCustomer, parse_customer, preview
from twc_customer_client.formats.field_paths import get_value, parse_path
from twc_customer_client.formats.records import Record, RejectReason
from twc_customer_client.importing.checkpoint import Counts

# Well below the server's limits of 1,000 customers and 4 MiB, as several
# batches are in memory at once.
_BATCH_RECORDS = 400
_BATCH_BYTES = 1024 * 1024

_REJECTED = "rejected"


class Batch(NamedTuple):
    """Records in order, and the request with those that are customers.

    `reasons` are those of the others, by record number: they are not sent.
    """

    records: list[Record]
    reasons: dict[int, list[RejectReason]]
    request: pb.ImportCustomersRequest


class BatchOptions(NamedTuple):
    """How the server treats customers and those that they clash with; what this client ignores."""

    validate_only: bool
    on_conflict: pb.ImportCustomersRequest.OnConflict
    ignore_unknown: bool


class RecordResult(NamedTuple):
    """Tells how a record was imported: its outcome and the customer's id, or why it is rejected."""

    record: Record
    result: str
    customer_id: str
    reasons: list[RejectReason]


def collect_batches(records: Iterable[Record], options: BatchOptions) -> Iterator[Batch]:
    """Collects records into batches. Raises the error of `records` after the last batch."""
    batch = _new_batch(options)
    start: int | None = None
    errors: list[CommandError] = []
    for record in _until_error(records, errors):
        start = record.end if start is None else start
        _add(batch, record, options)
        size = max(batch.request.ByteSize(), record.end - start)
        if len(batch.records) >= _BATCH_RECORDS or size >= _BATCH_BYTES:
            yield batch
            batch, start = _new_batch(options), record.end
    if batch.records:
        yield batch
    if errors:
        raise errors[0]


def count_results(
    batch: Batch, response: pb.ImportCustomersResponse | None, counts: Counts
) -> list[RecordResult]:
    """Returns the results of a batch's records, and adds them to `counts`.

    A batch with nothing to send has no response. Raises CommandError if the
    response does not match the batch.
    """
    outcomes = _results_by_number(batch, response)
    results = []
    for record in batch.records:
        reasons = batch.reasons.get(record.number)
        result = (
            _result_of(record, outcomes[record.number])
            if reasons is None
            else RecordResult(record, _REJECTED, "", reasons)
        )
        setattr(counts, result.result, getattr(counts, result.result) + 1)
        results.append(result)
    return results


def _until_error(records: Iterable[Record], errors: list[CommandError]) -> Iterator[Record]:
    try:
        yield from records
    except CommandError as error:
        errors.append(error)


def _new_batch(options: BatchOptions) -> Batch:
    request = pb.ImportCustomersRequest(
        validate_only=options.validate_only, on_conflict=options.on_conflict
    )
    return Batch([], {}, request)


def _add(batch: Batch, record: Record, options: BatchOptions) -> None:
    batch.records.append(record)
    if record.reasons:
        batch.reasons[record.number] = list(record.reasons)
        return
    try:
        customer = parse_customer(record.value, ignore_unknown=options.ignore_unknown)
    except InvalidCustomer as error:
        batch.reasons[record.number] = error.reasons
        return
    batch.request.items.add(sequence=record.number, customer=customer)


def _results_by_number(
    batch: Batch, response: pb.ImportCustomersResponse | None
) -> dict[int, pb.ImportResult]:
    results = {result.sequence: result for result in response.results} if response else {}
    if results.keys() != {item.sequence for item in batch.request.items}:
        raise CommandError("the server's response does not match the batch that was sent")
    return results


def _result_of(record: Record, result: pb.ImportResult) -> RecordResult:
    outcome = result.WhichOneof("outcome")
    if outcome is None:
        raise CommandError(
            "the server's response has an unknown outcome: is the server newer than this client?"
        )
    if outcome != "error":
        value = getattr(result, outcome)
        return RecordResult(record, outcome, value if isinstance(value, str) else "", [])
    reasons = [
        RejectReason(field, _preview_field(record, field), description)
        for field, description in item_violations(read_status(result.error))
    ]
    return RecordResult(record, _REJECTED, "", reasons)


def _preview_field(record: Record, field: str) -> str:
    try:
        return preview(get_value(record.value, parse_path(field))) if field else ""
    except ValueError:
        return ""
