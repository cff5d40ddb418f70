"""Measurements of the service alone: a native import, its parts, and an upload by REST."""

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import json_format
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from bench.dataset import is_stored_as_sent, to_json
from bench.errors import BenchError, WrongResponseError
from bench.load.connection import Request, write_requests
from bench.processes import HOST, PeakMemory, environment, on_core, servers_on_cores
from bench.results import ServiceMetric
from bench.scenarios import SERVICE_PATH
from bench.service_benchmarks import Metrics, ReportProgress, ServiceBenchmark
from bench.services import running_gateway, server_command
from bench.testbed import Testbed

_TIMEOUT_SECONDS = 300
# The contract's limit of a message.
_BATCH = 1_000


class Import(ServiceBenchmark):
    """Compares a native import with its parts in one process, each on the first core."""

    name = "import"

    def measure(self, testbed: Testbed, folder: Path, report: ReportProgress) -> Metrics:
        """Returns customers per second, and the server's peak memory."""
        count = testbed.plan.imported_customers
        batches_of_all = list(batches(testbed, 0, count))
        settings = testbed.settings(data_dir=folder / "data")
        memory = PeakMemory()
        with servers_on_cores(
            testbed.cores[:1], settings, folder / "log", server_command
        ) as servers:
            [port], [pid] = servers
            memory.watch(pid)
            seconds, responses = _import(testbed, port, batches_of_all)
        _verify(responses, count)
        return {
            ServiceMetric.IMPORT: count / seconds,
            ServiceMetric.IMPORT_PARTS: count / _import_parts(testbed, folder, batches_of_all),
            ServiceMetric.IMPORT_MEMORY: memory.mebibytes,
        }


class Upload(ServiceBenchmark):
    """Measures one upload request of thousands of customers, through the gateway."""

    name = "upload"

    def measure(self, testbed: Testbed, folder: Path, report: ReportProgress) -> Metrics:
        """Returns customers per second."""
        count = testbed.plan.uploaded_customers
        sent = [customer for batch in _customers(testbed, 0, count) for customer in batch]
        body = f"[{','.join(map(to_json, sent))}]".encode()
        settings = testbed.settings(data_dir=folder / "data")
        with running_gateway(testbed, settings, folder / "log") as servers:
            connection = http.client.HTTPConnection(
                HOST, servers.ports[0], timeout=_TIMEOUT_SECONDS
            )
            headers = testbed.credentials | {"content-type": "application/json"}
            started = time.perf_counter()
            connection.request("POST", "/api/v2/upload-customers", body, headers)
            response = connection.getresponse()
            content = response.read()
            seconds = time.perf_counter() - started
            connection.close()
        if response.status != http.client.CREATED:
            raise WrongResponseError(f"upload: status {response.status}: {content[:500]!r}")
        results: list[dict[str, Any]] = json.loads(content)
        stored = [json_format.ParseDict(result["customer"], Customer()) for result in results]
        if len(stored) != count or not all(map(is_stored_as_sent, sent, stored)):
            raise WrongResponseError("upload: the response has other customers than the request")
        return {ServiceMetric.UPLOAD: count / seconds}


def _import(testbed: Testbed, port: int, batches: Sequence[bytes]) -> tuple[float, list[bytes]]:
    """Streams encoded batches; returns the seconds it took and the encoded responses."""
    with grpc.insecure_channel(f"{HOST}:{port}") as channel:
        grpc.channel_ready_future(channel).result(_TIMEOUT_SECONDS)
        method: Any = channel.stream_stream(f"{SERVICE_PATH}ImportCustomers")
        started = time.perf_counter()
        metadata = tuple(testbed.credentials.items())
        responses = list(method(iter(batches), _TIMEOUT_SECONDS, metadata))
        return time.perf_counter() - started, responses


def _verify(responses: Sequence[bytes], count: int) -> None:
    results = [
        result
        for response in responses
        for result in pb.ImportCustomersResponse.FromString(response).results
    ]
    created = [result for result in results if result.WhichOneof("outcome") == "created"]
    if not len(created) == len(results) == count:
        raise WrongResponseError(f"import: {len(created)} of {count} created: {results[:1]}")


def _import_parts(testbed: Testbed, folder: Path, batches: Sequence[bytes]) -> float:
    """Runs the parts of the import of encoded batches; returns the seconds they took."""
    file = folder / "batches"
    write_requests(file, [Request(batch, b"") for batch in batches])
    command = [sys.executable, "-m", "bench.import_parts", str(file), str(folder / "parts")]
    with on_core(testbed.cores[0]):
        done = subprocess.run(
            command,
            env=environment(testbed.settings()),
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise BenchError(f"the parts of an import failed: {done.stderr}")
    seconds, stored = done.stdout.split()
    if int(stored) != testbed.plan.imported_customers:
        raise BenchError(f"the parts of an import stored {stored} customers")
    return float(seconds)


def batches(testbed: Testbed, first: int, end: int) -> Iterator[bytes]:
    """Encodes customers in batches."""
    number = first
    for customers in _customers(testbed, first, end):
        request = pb.ImportCustomersRequest()
        for customer in customers:
            request.items.add(sequence=number, customer=customer)
            number += 1
        yield request.SerializeToString()


def _customers(testbed: Testbed, first: int, end: int) -> Iterator[list[Customer]]:
    """Yields customers in batches, which share their models, since these are slow to make."""
    models = [testbed.dataset.request(number) for number in range(_BATCH)]
    for begin in range(first, end, _BATCH):
        numbers = range(begin, min(begin + _BATCH, end))
        yield [_uncanonical(models[number - begin], number) for number in numbers]


def _uncanonical(model: Customer, number: int) -> Customer:
    """Returns a customer with unique values as people write them.

    Every other phone number has no country code.
    """
    customer = Customer()
    customer.CopyFrom(model)
    digits = f"{10_000_000 + number}"
    spaced, hyphenated = f"{digits[:4]} {digits[4:]}", f"{digits[:4]}-{digits[4:]}"
    customer.customer_ref = f"I-{number}"
    customer.email = f"Customer.{number}@Example.COM"
    if number % 2:
        # A number without a country code is one of the default address's country.
        for address in customer.addresses:
            address.country_code = "DE"
        customer.phone, customer.mobile = f"030 {spaced}", f"0151 {hyphenated}"
    else:
        customer.phone, customer.mobile = f"+49 (30) {hyphenated}", f"+49 151 {spaced}"
    return customer
