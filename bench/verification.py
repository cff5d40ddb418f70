"""Verifies responses with usual clients before they are measured."""

from http import HTTPStatus
from typing import Any, NamedTuple

import grpc
import httpx
from google.protobuf import json_format
from twc.customer.v2.customer_pb2 import Customer

from bench.dataset import PAGE_CUSTOMERS, is_stored_as_sent, to_json
from bench.errors import WrongResponseError
from bench.processes import HOST
from bench.scenarios import GET, SERVICE_PATH, Call, Scenario, Transport, get_by_id
from bench.testbed import Testbed

_TIMEOUT_SECONDS = 30


class Verifier(NamedTuple):
    """Calls a contender on one of its ports, and compares whole responses."""

    testbed: Testbed
    transport: Transport
    port: int

    def verify(self, scenario: Scenario, number: int, mark: str) -> None:
        """Makes a call of a scenario; reads back what it wrote. Raises WrongResponseError."""
        call = scenario.call(self.testbed.dataset, number, mark)
        found = self._send(scenario, call, scenario.status)
        if call.customer is None:
            _require(found == self._first(scenario), call, found)
            return
        is_stored = len(found) == 1 and is_stored_as_sent(call.customer, found[0])
        _require(is_stored, call, found)
        again = get_by_id(found[0].id)
        _require(self._send(GET, again, GET.status) == found, again, found)

    def verify_baseline(self, scenario: Scenario, number: int, mark: str) -> None:
        """Makes a call of a scenario, which returns the first customer, or those of the page."""
        call = scenario.call(self.testbed.dataset, number, mark)
        found = self._send(scenario, call, HTTPStatus.OK)
        _require(found == self._first(scenario), call, found)

    def _first(self, scenario: Scenario) -> list[Customer]:
        count = PAGE_CUSTOMERS if scenario.key == "page" else 1
        return self.testbed.customers[:count]

    def _send(self, scenario: Scenario, call: Call, status: int) -> list[Customer]:
        try:
            if self.transport == "gRPC":
                return self._send_grpc(scenario, call)
            return self._send_http(call, status)
        except (httpx.HTTPError, grpc.RpcError, json_format.ParseError) as error:
            raise WrongResponseError(f"{call.method} {call.path}: {error}") from error

    def _send_http(self, call: Call, status: int) -> list[Customer]:
        response = httpx.request(
            call.method,
            f"http://{HOST}:{self.port}{call.path}",
            headers=self.testbed.credentials | {"content-type": "application/json"},
            content=to_json(call.customer).encode() if call.customer else None,
            timeout=_TIMEOUT_SECONDS,
        )
        _require(response.status_code == status, call, response.text)
        body = response.json()
        items = body if isinstance(body, list) else [body]
        return [json_format.ParseDict(item, Customer()) for item in items]

    def _send_grpc(self, scenario: Scenario, call: Call) -> list[Customer]:
        with grpc.insecure_channel(f"{HOST}:{self.port}") as channel:
            # A unary response and a stream of one message are the same on the wire.
            method: Any = channel.unary_stream(SERVICE_PATH + scenario.rpc)
            request = call.message.SerializeToString()
            metadata = tuple(self.testbed.credentials.items())
            responses = method(request, _TIMEOUT_SECONDS, metadata, wait_for_ready=True)
            return [Customer.FromString(response) for response in responses]


def _require(condition: object, call: Call, response: object) -> None:
    if not condition:
        raise WrongResponseError(f"{call.method} {call.path}: wrong response: {response}")
