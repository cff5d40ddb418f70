"""Measurements of the service alone: an upload through the gateway, and a native import."""

import http.client
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from bench.contenders import running_gateway, server_command
from bench.dataset import FIRST_NEW, to_json
from bench.errors import WrongResponseError
from bench.processes import HOST, PeakMemory, servers_on_cores
from bench.results import ServiceMetric
from bench.scenarios import SERVICE_PATH
from bench.service_benchmarks import Metrics, ReportProgress, ServiceBenchmark
from bench.testbed import Testbed

_TIMEOUT_SECONDS = 120
# The contract's limit of a message.
_BATCH = 1_000


class Upload(ServiceBenchmark):
    """Measures one upload request of thousands of customers, through the gateway."""

    name = "upload"

    def measure(self, testbed: Testbed, folder: Path, report: ReportProgress) -> Metrics:
        """Returns customers per second."""
        count = testbed.plan.uploaded_customers
        customers = [testbed.dataset.request(FIRST_NEW + number) for number in range(count)]
        body = f"[{','.join(map(to_json, customers))}]".encode()
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
        emails = [result["customer"]["email"] for result in results]
        if emails != [customer.email for customer in customers]:
            raise WrongResponseError("upload: the response has other customers than the request")
        return {ServiceMetric.UPLOAD: count / seconds}


class Import(ServiceBenchmark):
    """Measures a native import of customers whose values are not in canonical form."""

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
            ServiceMetric.IMPORT_MEMORY: memory.mebibytes,
        }


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


def batches(testbed: Testbed, first: int, end: int) -> Iterator[bytes]:
    """Encodes customers in batches; all batches share their models, which are slow to make."""
    models = [testbed.dataset.request(number) for number in range(_BATCH)]
    for begin in range(first, end, _BATCH):
        request = pb.ImportCustomersRequest()
        for number in range(begin, min(begin + _BATCH, end)):
            item = request.items.add(sequence=number, customer=models[number - begin])
            _set_unique_values(item.customer, number)
        yield request.SerializeToString()


def _set_unique_values(customer: Customer, number: int) -> None:
    """Sets values as people write them; every other phone number has no country code."""
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
