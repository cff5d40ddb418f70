"""How calls are counted, and what Prometheus is told of them."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client.parser import text_string_to_metric_families
from twc.customer.v2 import customer_service_pb2

from twc_customer_server.telemetry.metrics import (
    BOUNDS,
    CODES,
    ServiceMetrics,
    gauge_offsets,
    memory_bytes,
)
from twc_customer_server.telemetry.metrics_server import render

SERVICE = customer_service_pb2.DESCRIPTOR.services_by_name["CustomerService"]
OVERDUE = "twc_customer_purge_overdue_seconds"
DURATIONS = "grpc_server_handling_seconds"

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def memory() -> Iterator[int]:
    """Memory that processes share."""
    shared = os.memfd_create("metrics")
    os.truncate(shared, memory_bytes(SERVICE))
    yield shared
    os.close(shared)


def _read(*counts: ServiceMetrics) -> Series:
    """Returns all series, by name and labels."""
    return _parse(render(counts).decode())


def _parse(exposition: str) -> Series:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
    }


@pytest.fixture(scope="module")
def untouched() -> set[str]:
    """The lines about a service of which no RPC was ever called."""
    return {*render([ServiceMetrics(SERVICE)]).decode().splitlines()}


def _value(series: Series, name: str, **labels: str) -> float | None:
    return series.get((name, frozenset(labels.items())))


def _call(counts: ServiceMetrics, rpc: str, code: str, seconds: float) -> None:
    counts.rpcs[rpc].start()
    counts.rpcs[rpc].end(code, seconds)


@pytest.mark.parametrize("rpc", [method.name for method in SERVICE.methods])
def test_own_series(untouched: set[str], rpc: str) -> None:
    """Each RPC and code has a series of its own, which no other call is counted in."""
    for code in CODES:
        counts = ServiceMetrics(SERVICE)
        _call(counts, rpc, code, 0.25)
        lines = render([counts]).decode().splitlines()
        # To parse all lines for every code takes more time than all else here.
        changed = _parse("".join(f"{line}\n" for line in lines if line not in untouched))

        assert _value(changed, f"{DURATIONS}_count", grpc_method=rpc, grpc_code=code) == 1
        assert _value(changed, f"{DURATIONS}_sum", grpc_method=rpc, grpc_code=code) == 0.25
        assert {dict(labels)["grpc_method"] for _, labels in changed} == {rpc}
        assert {dict(labels)["grpc_code"] for _, labels in changed} == {code}


@pytest.mark.parametrize("seconds", [0, *BOUNDS, 0.0010001, 59.9, 60.1, 1e6])
def test_buckets(seconds: float) -> None:
    """A duration counts in every bucket whose bound it does not exceed."""
    counts = ServiceMetrics(SERVICE)
    _call(counts, "GetCustomer", "OK", seconds)
    series = _read(counts)
    found = {
        bound: _value(
            series,
            f"{DURATIONS}_bucket",
            grpc_method="GetCustomer",
            grpc_code="OK",
            le="+Inf" if bound == float("inf") else str(float(bound)),
        )
        for bound in (*BOUNDS, float("inf"))
    }

    assert found == {bound: float(seconds <= bound) for bound in (*BOUNDS, float("inf"))}


def test_codes_before_first_call() -> None:
    """Before the first call each RPC has the series of success, at zero, and no other."""
    handled = {
        (dict(labels)["grpc_method"], dict(labels)["grpc_code"]): value
        for (name, labels), value in _read(ServiceMetrics(SERVICE)).items()
        if name == f"{DURATIONS}_count"
    }

    assert handled == {(method.name, "OK"): 0 for method in SERVICE.methods}


def test_sum_of_processes() -> None:
    """What several processes have counted is told as one."""
    first, second = ServiceMetrics(SERVICE), ServiceMetrics(SERVICE)
    _call(first, "GetCustomer", "OK", 0.5)
    _call(second, "GetCustomer", "OK", 2)
    _call(second, "GetCustomer", "NOT_FOUND", 1)
    for counts in (first, second):
        counts.rpcs["ExportCustomers"].start()
    series = _read(first, second)

    def found(name: str, code: str, **more: str) -> float | None:
        return _value(series, name, grpc_method="GetCustomer", grpc_code=code, **more)

    assert found(f"{DURATIONS}_count", "OK") == 2
    assert found(f"{DURATIONS}_sum", "OK") == 2.5
    assert found(f"{DURATIONS}_bucket", "OK", le="1.0") == 1
    assert found(f"{DURATIONS}_count", "NOT_FOUND") == 1
    assert _value(series, "grpc_server_calls_in_progress", grpc_method="ExportCustomers") == 2


def test_calls_at_once() -> None:
    """Calls that begin and end at the same time are all counted."""
    counts, each = ServiceMetrics(SERVICE), 5000

    def call(_: int) -> None:
        for _ in range(each):
            _call(counts, "GetCustomer", "OK", 1)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(call, range(8)))
    series = _read(counts)

    labels = {"grpc_method": "GetCustomer", "grpc_code": "OK"}
    assert _value(series, f"{DURATIONS}_count", **labels) == 8 * each
    assert _value(series, f"{DURATIONS}_sum", **labels) == 8 * each
    assert _value(series, "grpc_server_calls_in_progress", grpc_method="GetCustomer") == 0


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
    labels = {"grpc_method": "GetCustomer", "grpc_code": "OK"}
    assert _value(series, f"{DURATIONS}_count", **labels) == 2


def test_purges(memory: int) -> None:
    """What processes have purged is summed up; overdue is the oldest row of any of them."""
    own, other = ServiceMetrics(SERVICE, memory), ServiceMetrics(SERVICE)
    assert _value(_read(own, other), OVERDUE, kind="outcomes") == 0
    for counts, rows, age in ((own, 3, 100), (other, 4, 10)):
        counts.purges["outcomes"].add(rows)
        counts.purges["outcomes"].set_due_since(round((time.time() - age) * 1000))
    series = _read(own, other)
    assert _value(series, "twc_customer_purged_rows_total", kind="outcomes") == 7
    assert 100 <= (_value(series, OVERDUE, kind="outcomes") or 0) < 110

    for offset in gauge_offsets(SERVICE):
        os.pwrite(memory, bytes(8), offset)
    series = _read(own, other)
    assert _value(series, "twc_customer_purged_rows_total", kind="outcomes") == 7
    assert 10 <= (_value(series, OVERDUE, kind="outcomes") or 0) < 20
    other.purges["outcomes"].set_due_since(None)
    assert _value(_read(own, other), OVERDUE, kind="outcomes") == 0


def test_no_shared_memory() -> None:
    """ServiceMetrics that are given no memory are their own."""
    counted, other = ServiceMetrics(SERVICE), ServiceMetrics(SERVICE)
    _call(counted, "GetCustomer", "OK", 1)

    assert _read(other) == _read(ServiceMetrics(SERVICE)) != _read(counted)
