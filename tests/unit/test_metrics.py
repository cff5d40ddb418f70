"""How calls are counted, and what Prometheus is told of them."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client.parser import text_string_to_metric_families
from twc.customer.v2 import customer_service_pb2

from tests.support.scraping import labels_of
from twc_customer_server.storage.schema import TABLES
from twc_customer_server.telemetry.exposition import render
from twc_customer_server.telemetry.families import FAMILIES, STATEMENTS, UNNUMBERED, Family, Kind
from twc_customer_server.telemetry.metrics import (
    BOUNDS,
    CODES,
    ServiceMetrics,
    gauge_offsets,
    memory_bytes,
)

SERVICE = customer_service_pb2.DESCRIPTOR.services_by_name["CustomerService"]
OVERDUE = "twc_customer_purge_overdue_seconds"
DURATIONS = "grpc_server_handling_seconds"
HANDLED = "grpc_server_handled_total"

# As go-grpc-prometheus spells them, which takes Go's names.
GO_CODES = {
    "OK": "OK",
    "CANCELLED": "Canceled",
    "UNKNOWN": "Unknown",
    "INVALID_ARGUMENT": "InvalidArgument",
    "DEADLINE_EXCEEDED": "DeadlineExceeded",
    "NOT_FOUND": "NotFound",
    "ALREADY_EXISTS": "AlreadyExists",
    "PERMISSION_DENIED": "PermissionDenied",
    "UNAUTHENTICATED": "Unauthenticated",
    "RESOURCE_EXHAUSTED": "ResourceExhausted",
    "FAILED_PRECONDITION": "FailedPrecondition",
    "ABORTED": "Aborted",
    "OUT_OF_RANGE": "OutOfRange",
    "UNIMPLEMENTED": "Unimplemented",
    "INTERNAL": "Internal",
    "UNAVAILABLE": "Unavailable",
    "DATA_LOSS": "DataLoss",
}

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def memory() -> Iterator[int]:
    """Memory that processes share."""
    shared = os.memfd_create("metrics")
    os.truncate(shared, memory_bytes(SERVICE))
    yield shared
    os.close(shared)


def _read(*counts: ServiceMetrics, of: str = "") -> Series:
    """Returns all series, or those whose name has a part, by name and labels."""
    lines = render(counts).decode().splitlines(keepends=True)
    # To parse takes more time than all else here.
    exposition = "".join(line for line in lines if of in line)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
    }


def _value(series: Series, name: str, **labels: str) -> float | None:
    return series.get((name, frozenset(labels.items())))


def _call(counts: ServiceMetrics, rpc: str, code: str, seconds: float) -> None:
    counts.rpcs[rpc].start()
    counts.rpcs[rpc].end(code, seconds)


def test_own_series() -> None:
    """Each RPC and code has a series of its own, which no other call is counted in."""
    counts, expected = ServiceMetrics(SERVICE), {}
    number = 0
    for method in SERVICE.methods:
        for code, spelling in GO_CODES.items():
            number += 1
            for _ in range(number):
                _call(counts, method.name, code, 0.25)
            expected[method.name, spelling] = number
    series = _read(counts)

    for method in SERVICE.methods:
        labels = labels_of(method.name)
        handled = {
            code: _value(series, HANDLED, **labels, grpc_code=code) for code in GO_CODES.values()
        }
        assert handled == {code: expected[method.name, code] for code in handled}
        calls = sum(it or 0 for it in handled.values())
        assert _value(series, "grpc_server_started_total", **labels) == calls
        assert _value(series, f"{DURATIONS}_count", **labels) == calls
        assert _value(series, f"{DURATIONS}_sum", **labels) == calls / 4


def test_codes() -> None:
    """Every code has a spelling."""
    assert {*CODES} == {*GO_CODES}


@pytest.mark.parametrize("seconds", [0, *BOUNDS, 0.0010001, 59.9, 60.1, 1e6])
def test_buckets(seconds: float) -> None:
    """A duration counts in every bucket whose bound it does not exceed."""
    counts = ServiceMetrics(SERVICE)
    _call(counts, "GetCustomer", "OK", seconds)
    series = _read(counts, of=f'{DURATIONS}_bucket{{grpc_method="GetCustomer"')
    found = {
        bound: _value(
            series,
            f"{DURATIONS}_bucket",
            **labels_of("GetCustomer"),
            le="+Inf" if bound == float("inf") else str(float(bound)),
        )
        for bound in (*BOUNDS, float("inf"))
    }

    assert found == {bound: float(seconds <= bound) for bound in (*BOUNDS, float("inf"))}


def test_codes_before_first_call() -> None:
    """Before its first call each RPC has the series of every code, at zero."""
    handled = {
        (dict(labels)["grpc_method"], dict(labels)["grpc_code"]): value
        for (name, labels), value in _read(ServiceMetrics(SERVICE)).items()
        if name == HANDLED
    }

    assert handled == {
        (method.name, code): 0 for method in SERVICE.methods for code in GO_CODES.values()
    }


def test_sum_of_processes() -> None:
    """What several processes have counted is told as one."""
    first, second = ServiceMetrics(SERVICE), ServiceMetrics(SERVICE)
    _call(first, "GetCustomer", "OK", 0.5)
    _call(second, "GetCustomer", "OK", 2)
    _call(second, "GetCustomer", "NOT_FOUND", 1)
    for counts in (first, second):
        counts.rpcs["ExportCustomers"].start()
    series = _read(first, second)

    labels = labels_of("GetCustomer")
    assert _value(series, HANDLED, **labels, grpc_code="OK") == 2
    assert _value(series, HANDLED, **labels, grpc_code="NotFound") == 1
    assert _value(series, f"{DURATIONS}_count", **labels) == 3
    assert _value(series, f"{DURATIONS}_sum", **labels) == 3.5
    assert _value(series, f"{DURATIONS}_bucket", **labels, le="1.0") == 2
    exports = labels_of("ExportCustomers")
    assert _value(series, "grpc_server_started_total", **exports) == 2
    assert _value(series, "grpc_server_calls_in_progress", **exports) == 2


def test_calls_at_once() -> None:
    """Calls that begin and end at the same time are all counted."""
    counts, each = ServiceMetrics(SERVICE), 5000

    def call(_: int) -> None:
        for _ in range(each):
            _call(counts, "GetCustomer", "OK", 1)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(call, range(8)))
    series = _read(counts)

    labels = labels_of("GetCustomer")
    assert _value(series, f"{DURATIONS}_count", **labels) == 8 * each
    assert _value(series, f"{DURATIONS}_sum", **labels) == 8 * each
    assert _value(series, "grpc_server_calls_in_progress", **labels) == 0


def test_reused_memory(memory: int) -> None:
    """Who comes next to the same memory counts on, without what was in progress."""
    first = ServiceMetrics(SERVICE, memory)
    _call(first, "GetCustomer", "OK", 1)
    first.rpcs["GetCustomer"].start()
    reader = ServiceMetrics(SERVICE, memory)
    assert reader.rpcs["GetCustomer"].in_progress == 1

    for offset in gauge_offsets(SERVICE):
        os.pwrite(memory, bytes(8), offset)
    _call(ServiceMetrics(SERVICE, memory), "GetCustomer", "OK", 1)

    assert reader.rpcs["GetCustomer"].in_progress == 0
    series = _read(reader)
    labels = labels_of("GetCustomer")
    assert _value(series, f"{DURATIONS}_count", **labels) == 2


def test_purges(memory: int) -> None:
    """What processes have purged is summed up; overdue is the oldest row of any of them."""
    own, other = ServiceMetrics(SERVICE, memory), ServiceMetrics(SERVICE)
    assert _value(_read(own, other, of="purge"), OVERDUE, kind="outcomes") == 0
    for counts, rows, age in ((own, 3, 100), (other, 4, 10)):
        counts.purges["outcomes"].add(rows)
        counts.purges["outcomes"].set_due_since(round((time.time() - age) * 1000))
    series = _read(own, other, of="purge")
    assert _value(series, "twc_customer_purged_rows_total", kind="outcomes") == 7
    assert 100 <= (_value(series, OVERDUE, kind="outcomes") or 0) < 110

    for offset in gauge_offsets(SERVICE):
        os.pwrite(memory, bytes(8), offset)
    series = _read(own, other, of="purge")
    assert _value(series, "twc_customer_purged_rows_total", kind="outcomes") == 7
    assert 10 <= (_value(series, OVERDUE, kind="outcomes") or 0) < 20
    other.purges["outcomes"].set_due_since(None)
    assert _value(_read(own, other, of="purge"), OVERDUE, kind="outcomes") == 0


def test_no_shared_memory() -> None:
    """ServiceMetrics that are given no memory are their own."""
    counted, other = ServiceMetrics(SERVICE), ServiceMetrics(SERVICE)
    _call(counted, "GetCustomer", "OK", 1)

    assert _read(other) == _read(ServiceMetrics(SERVICE)) != _read(counted)


def _of(family: Family) -> list[str]:
    """The names of a family's samples."""
    if family.kind is Kind.SUMMARY:
        return [f"{family.name}_count", f"{family.name}_sum"]
    return [f"{family.name}_total" if family.kind is Kind.COUNTER else family.name]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_own_families(memory: int, family: Family) -> None:
    """Each series is counted apart, and what counts for a process alone ends with it."""
    for number, labels in enumerate(family.series()):
        series = ServiceMetrics(SERVICE, memory).own.series(family, *labels)
        match family.kind:
            case Kind.COUNTER:
                series.add(number + 1)
            case Kind.SUMMARY:
                series.observe(number + 1, number + 1)
            case Kind.GAUGE:
                series.set(number + 1)
            case Kind.AGE:
                series.set(time.time() - number - 1)
    expected = {
        (name, frozenset(zip(family.labels, labels, strict=True))): number + 1
        for number, labels in enumerate(family.series())
        for name in _of(family)
    }
    before = _read(ServiceMetrics(SERVICE), of=family.name)
    found = _read(ServiceMetrics(SERVICE, memory), of=family.name)
    assert found == pytest.approx(expected, abs=0.5)

    for offset in gauge_offsets(SERVICE):
        os.pwrite(memory, bytes(8), offset)
    left = _read(ServiceMetrics(SERVICE, memory), of=family.name)
    is_kept = family.kind in {Kind.COUNTER, Kind.SUMMARY}
    assert (left == before) is not is_kept


def test_largest_of_processes() -> None:
    """Of changes without a number the most that a process has seen is told, not the sum."""
    first, second = ServiceMetrics(SERVICE), ServiceMetrics(SERVICE)
    first.own.series(UNNUMBERED).set(3)
    second.own.series(UNNUMBERED).set(4)

    assert _value(_read(first, second), UNNUMBERED.name) == 4


def test_tables_of_statements() -> None:
    """Statements on every table are counted."""
    tables = [table._meta.table_name for table in TABLES]  # noqa: SLF001

    assert list(STATEMENTS.labels["table"]) == tables
