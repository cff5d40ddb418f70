"""Asks with usual clients, before anything is measured, whether answers are right."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, NamedTuple

import grpc
import httpx
from google.protobuf import json_format
from twc.customer.v2.customer_pb2 import Customer

from bench.contender import Transport
from bench.documents import PAGE, to_json
from bench.ground import Ground
from bench.problems import WrongAnswerError
from bench.scenarios import GET, PATH, Call, Scenario, get_by_id
from bench.serving import HOST
from twc_customer_server.customers.customer import has_same_values, prepare_new

_SECONDS = 30


class Client(NamedTuple):
    """Calls a contender on one of its ports."""

    ground: Ground
    transport: Transport
    port: int

    def check(self, scenario: Scenario, number: int, mark: str) -> None:
        """Makes one call of a scenario and compares the answer whole. Raises WrongAnswerError."""
        call = scenario.call(self.ground.documents, number, mark)
        found = self._ask(scenario, call, scenario.status)
        if call.customer is None:
            wanted = self.ground.customers[: PAGE if scenario.key == "page" else 1]
            _must(found == wanted, call, found)
            return
        _must(len(found) == 1 and _is_stored(call.customer, found[0]), call, found)
        again = get_by_id(found[0].id)
        _must(self._ask(GET, again, GET.status) == found, again, found)

    def check_floor(self, scenario: Scenario, number: int, mark: str) -> None:
        """Makes one call of a scenario, which is to return the first customer all the same."""
        call = scenario.call(self.ground.documents, number, mark)
        found = self._ask(scenario, call, HTTPStatus.OK)
        _must(found == self.ground.customers[:1], call, found)

    def _ask(self, scenario: Scenario, call: Call, status: int) -> list[Customer]:
        try:
            if self.transport == "gRPC":
                return self._over_grpc(scenario, call)
            return self._over_rest(call, status)
        except (httpx.HTTPError, grpc.RpcError, json_format.ParseError) as error:
            raise WrongAnswerError(f"{call.method} {call.path}: {error}") from error

    def _over_rest(self, call: Call, status: int) -> list[Customer]:
        answer = httpx.request(
            call.method,
            f"http://{HOST}:{self.port}{call.path}",
            headers=self.ground.caller | {"content-type": "application/json"},
            content=to_json(call.customer).encode() if call.customer else None,
            timeout=_SECONDS,
        )
        _must(answer.status_code == status, call, answer.text)
        body = answer.json()
        items = body if isinstance(body, list) else [body]
        return [json_format.ParseDict(item, Customer()) for item in items]

    def _over_grpc(self, scenario: Scenario, call: Call) -> list[Customer]:
        with grpc.insecure_channel(f"{HOST}:{self.port}") as channel:
            # Whether one message comes back or many is the same on the wire.
            method: Any = channel.unary_stream(PATH + scenario.rpc)
            request = call.message.SerializeToString()
            metadata = tuple(self.ground.caller.items())
            answers = method(request, _SECONDS, metadata, wait_for_ready=True)
            return [Customer.FromString(answer) for answer in answers]


def _is_stored(sent: Customer, stored: Customer) -> bool:
    """Tells whether a customer was stored as it was sent, with what the rules add to it."""
    ready = Customer()
    ready.CopyFrom(sent)
    prepare_new(ready, None, datetime.now(UTC))
    return has_same_values(ready, stored)


def _must(holds: object, call: Call, found: object) -> None:
    if not holds:
        raise WrongAnswerError(f"{call.method} {call.path} is answered with {found}")
