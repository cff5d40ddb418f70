"""Many customers at once: an upload through the gateway, and a native import."""

import http.client
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from bench.documents import NEW, to_json
from bench.extra import Extra, Measured
from bench.ground import Ground
from bench.problems import WrongAnswerError
from bench.processes import Peak
from bench.progress import Tell
from bench.results import Alone
from bench.scenarios import PATH
from bench.service import gateway, serve
from bench.serving import HOST, on_cores

_SECONDS = 120
# As many as the contract lets into one message.
_BATCH = 1_000


class Upload(Extra):
    """One request of thousands of customers, through the gateway."""

    name = "upload"

    def measure(self, ground: Ground, folder: Path, tell: Tell) -> Measured:
        """Returns the customers per second."""
        count = ground.plan.uploaded
        customers = [ground.documents.request(NEW + number) for number in range(count)]
        body = f"[{','.join(map(to_json, customers))}]".encode()
        settings = ground.settings(data_dir=folder / "data")
        with gateway(ground, settings, folder / "log") as serving:
            connection = http.client.HTTPConnection(HOST, serving.ports[0], timeout=_SECONDS)
            headers = ground.caller | {"content-type": "application/json"}
            began = time.perf_counter()
            connection.request("POST", "/api/v2/upload-customers", body, headers)
            answer = connection.getresponse()
            read = answer.read()
            seconds = time.perf_counter() - began
            connection.close()
        if answer.status != http.client.CREATED:
            raise WrongAnswerError(f"the upload is answered with {answer.status}: {read[:500]!r}")
        results: list[dict[str, Any]] = json.loads(read)
        emails = [each["customer"]["email"] for each in results]
        if emails != [customer.email for customer in customers]:
            raise WrongAnswerError("the upload is answered with other customers")
        return {Alone.UPLOADED: count / seconds}


class Import(Extra):
    """A native stream of customers whose values are not in their canonical form."""

    name = "import"

    def measure(self, ground: Ground, folder: Path, tell: Tell) -> Measured:
        """Returns the customers per second, and the most memory of the server."""
        batches = list(_batches(ground, ground.plan.imported))
        settings = ground.settings(data_dir=folder / "data")
        peak = Peak("server")
        with on_cores(ground.cores[:1], settings, folder / "log", serve) as serving:
            [port], [pid] = serving
            peak.watch(pid)
            seconds, answers = _imported(ground, port, batches)
        _check(answers, ground.plan.imported)
        return {
            Alone.IMPORTED: ground.plan.imported / seconds,
            Alone.IMPORT_MEMORY: peak.mebibytes,
        }


def _imported(ground: Ground, port: int, batches: Sequence[bytes]) -> tuple[float, list[bytes]]:
    """Sends a stream of encoded batches, and returns its time and the encoded answers."""
    with grpc.insecure_channel(f"{HOST}:{port}") as channel:
        grpc.channel_ready_future(channel).result(_SECONDS)
        method: Any = channel.stream_stream(f"{PATH}ImportCustomers")
        began = time.perf_counter()
        metadata = tuple(ground.caller.items())
        answers = list(method(iter(batches), _SECONDS, metadata))
        return time.perf_counter() - began, answers


def _check(answers: Sequence[bytes], count: int) -> None:
    results = [
        result
        for answer in answers
        for result in pb.ImportCustomersResponse.FromString(answer).results
    ]
    created = [result for result in results if result.WhichOneof("outcome") == "created"]
    if not len(created) == len(results) == count:
        raise WrongAnswerError(f"of {count} customers {len(created)} were imported: {results[:1]}")


def _batches(ground: Ground, count: int) -> Iterator[bytes]:
    """Encoded batches: a customer is made once in so many, since that takes long."""
    models = [ground.documents.request(number) for number in range(_BATCH)]
    for begin in range(0, count, _BATCH):
        request = pb.ImportCustomersRequest()
        for number in range(begin, min(begin + _BATCH, count)):
            item = request.items.add(sequence=number, customer=models[number - begin])
            _spell(item.customer, number)
        yield request.SerializeToString()


def _spell(customer: Customer, number: int) -> None:
    """Writes what is unique as people do: every other number without its country."""
    line = f"{10_000_000 + number}"
    written = f"{line[:4]} {line[4:]}", f"{line[:4]}-{line[4:]}"
    customer.customer_ref = f"I-{number}"
    customer.email = f"Customer.{number}@Example.COM"
    if number % 2:
        # A number without its country is one of the default address's.
        for address in customer.addresses:
            address.country_code = "DE"
        customer.phone, customer.mobile = f"030 {written[0]}", f"0151 {written[1]}"
    else:
        customer.phone, customer.mobile = f"+49 (30) {written[1]}", f"+49 151 {written[0]}"
