"""The samples of the OpenAPI description work when they are pasted, and all make the same call."""

import json
import shlex
from collections.abc import Callable, Iterator
from functools import partial
from importlib import resources
from typing import Any, NamedTuple

import grpc
import httpx
import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.message_factory import GetMessageClass
from openapi.samples import GRPC_ADDRESS, ORIGIN
from twc.customer.v2.customer_service_pb2_grpc import CustomerServiceStub

from tests.gateway.stacks import http_headers
from tests.support.client import SECONDS
from twc_customer_server.contract import SERVICE

DOCUMENT = json.loads(resources.files("twc.customer.v2").joinpath("openapi.json").read_text())
# The customers that samples name are not there, but for those that they store.
SERVED = {200, 201, 204, 404}
FOUND_OR_NOT = {grpc.StatusCode.OK, grpc.StatusCode.NOT_FOUND}


class Operation(NamedTuple):
    """The samples of an operation, by their labels."""

    name: str
    samples: dict[str, str]

    def __str__(self) -> str:
        return self.name


OPERATIONS = [
    Operation(
        operation["operationId"],
        {sample["label"]: sample["source"] for sample in operation["x-codeSamples"]},
    )
    for methods in DOCUMENT["paths"].values()
    for operation in methods.values()
]


@pytest.fixture
def run_python(
    http: httpx.Client, origin: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], httpx.Response]:
    """Runs a sample in Python against the service, as the tenant, and returns its response."""
    responses: list[httpx.Response] = []

    def send(method: str, url: str, **options: Any) -> httpx.Response:
        options["headers"] |= {"X-TWC-Tenant": http.headers["x-twc-tenant"]}
        responses.append(http.request(method, url.replace(ORIGIN, origin), **options))
        return responses[-1]

    for method in ("get", "put", "post", "delete"):
        monkeypatch.setattr(httpx, method, partial(send, method.upper()))
    token = http.headers["authorization"].removeprefix("Bearer ")

    def run(source: str) -> httpx.Response:
        try:
            exec(source, {"token": token, "print": list})  # noqa: S102 - what readers run
        except (httpx.HTTPStatusError, json.JSONDecodeError):
            assert responses[-1].status_code in SERVED
        return responses[-1]

    return run


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_rest(
    operation: Operation, run_python: Callable[[str], httpx.Response], origin: str
) -> None:
    """A sample in Python is served, and that for curl makes the same request."""
    response = run_python(operation.samples["Python"])
    assert response.status_code in SERVED, response.text
    request = response.request
    curl = _options("curl", operation.samples["curl"])
    assert curl.get("-X", ["GET"]) == [request.method]
    assert [httpx.URL(url.replace(ORIGIN, origin)) for url in curl[""]] == [request.url]
    assert json.loads(curl.get("-d", ["null"])[0]) == json.loads(request.content or b"null")
    types = [it for it in curl["-H"] if it.startswith("Content-Type")]
    assert types == (["Content-Type: application/json"] if request.content else [])
    assert {"Authorization: Bearer $TOKEN", "X-TWC-Tenant: acme"} <= set(curl["-H"])


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_grpc(operation: Operation, native: grpc.Channel, tenant: str) -> None:
    """A sample for grpcurl has messages that the RPC takes."""
    options = _options("grpcurl", operation.samples["grpcurl"])
    address, method = options[""]
    assert address == GRPC_ADDRESS
    rpc = SERVICE.methods_by_name[method.removeprefix(f"{SERVICE.full_name}/")]
    message = GetMessageClass(rpc.input_type)
    requests = [ParseDict(it, message()) for it in _values(options["-d"][0])]
    call = getattr(CustomerServiceStub(native), rpc.name)
    argument = iter(requests) if rpc.client_streaming else requests[0]
    headers = [(name.lower(), value) for name, value in http_headers(tenant).items()]
    try:
        answer = call(argument, metadata=headers, timeout=SECONDS)
        if rpc.server_streaming:
            list(answer)
    except grpc.RpcError as error:
        assert error.code() in FOUND_OR_NOT, error.details()  # noqa: PT017 - of any call


def _options(program: str, command: str) -> dict[str, list[str]]:
    """Returns the values of a command's options, and by an empty name what belongs to none."""
    first, *rest = shlex.split(command.replace("\\\n", " "))
    assert first == program
    found: dict[str, list[str]] = {"": []}
    words = iter(rest)
    for word in words:
        if word.startswith("-"):
            found.setdefault(word, []).append(next(words))
        else:
            found[""].append(word)
    return found


def _values(text: str) -> Iterator[Any]:
    """Yields the JSON values that follow one another in a text."""
    while text := text.lstrip():
        value, end = json.JSONDecoder().raw_decode(text)
        yield value
        text = text[end:]
