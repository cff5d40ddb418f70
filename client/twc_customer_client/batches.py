"""Records in batches, which are sent and answered as one."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from twc.customer.v2 import customer_service_pb2 as pb

from twc_customer_client import failures, paths, shapes
from twc_customer_client.problems import Problem, Reason
from twc_customer_client.records import Record
from twc_customer_client.state import Counts

# Well below what the server takes: 1,000 customers and 4 MiB.
_RECORDS = 400
_BYTES = 1024 * 1024

Rejects = list[tuple[Record, list[Reason]]]


class Batch(NamedTuple):
    """Records in order; those that are no customers have reasons, and are not sent."""

    records: list[Record]
    reasons: dict[int, list[Reason]]
    request: pb.ImportCustomersRequest


class Terms(NamedTuple):
    """How records are made customers: whether only to check them, and what to pass over."""

    validate_only: bool
    ignore_unknown: bool


def collect(records: Iterable[Record], terms: Terms) -> Iterator[Batch]:
    """Puts records into batches that are small enough to keep several of them.

    Where the records can be read no further, what came before is a batch, too.
    """
    batch = _empty(terms)
    began: int | None = None
    broken: list[Problem] = []
    for record in _until_broken(records, broken):
        began = record.end if began is None else began
        _add(batch, record, terms)
        size = max(batch.request.ByteSize(), record.end - began)
        if len(batch.records) >= _RECORDS or size >= _BYTES:
            yield batch
            batch, began = _empty(terms), record.end
    if batch.records:
        yield batch
    if broken:
        raise broken[0]


def account(batch: Batch, answer: pb.ImportCustomersResponse | None, counts: Counts) -> Rejects:
    """Counts what became of a batch, and returns what was rejected. Raises Problem."""
    results = _by_number(batch, answer)
    rejects: Rejects = []
    for record in batch.records:
        reasons = batch.reasons.get(record.number)
        if reasons is None:
            reasons = _counted(record, results[record.number], counts)
        if reasons:
            counts.rejected += 1
            rejects.append((record, reasons))
    return rejects


def _until_broken(records: Iterable[Record], broken: list[Problem]) -> Iterator[Record]:
    try:
        yield from records
    except Problem as problem:
        broken.append(problem)


def _empty(terms: Terms) -> Batch:
    return Batch([], {}, pb.ImportCustomersRequest(validate_only=terms.validate_only))


def _add(batch: Batch, record: Record, terms: Terms) -> None:
    batch.records.append(record)
    if record.reasons:
        batch.reasons[record.number] = list(record.reasons)
        return
    try:
        customer = shapes.customer(record.value, ignore_unknown=terms.ignore_unknown)
    except shapes.Misshapen as wrong:
        batch.reasons[record.number] = wrong.reasons
        return
    batch.request.items.add(sequence=record.number, customer=customer)


def _by_number(
    batch: Batch, answer: pb.ImportCustomersResponse | None
) -> dict[int, pb.ImportResult]:
    results = {result.sequence: result for result in answer.results} if answer else {}
    if results.keys() != {item.sequence for item in batch.request.items}:
        raise Problem("the server's answer does not belong to what it was sent")
    return results


def _counted(record: Record, result: pb.ImportResult, counts: Counts) -> list[Reason]:
    outcome = result.WhichOneof("outcome")
    if outcome != "error":
        if outcome is None:
            raise Problem("the server did not say what became of a customer; is it a newer one?")
        setattr(counts, outcome, getattr(counts, outcome) + 1)
        return []
    return [
        Reason(field, _value(record, field), reason)
        for field, reason in failures.reasons(result.error)
    ]


def _value(record: Record, field: str) -> str:
    try:
        return shapes.shown(paths.value_at(record.value, paths.parse(field))) if field else ""
    except ValueError:
        return ""
