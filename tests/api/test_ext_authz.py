"""Envoy's question whether a caller may send a large body, as the server answers it."""

import json
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from tests.support.client import SECONDS, as_tenant
from tests.support.servers import Server
from twc_customer_server.transport.ext_authz import CheckRequest, CheckResponse

CHECK = "/envoy.service.auth.v3.Authorization/Check"


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The addresses of a server: of its gateway, and of native clients."""
    with Server(data_dir=tmp_path_factory.mktemp("authz")) as server:
        yield server.gateway_address, server.address


@pytest.fixture
def channel(addresses: tuple[str, str]) -> Iterator[grpc.Channel]:
    """A channel of the gateway to the server."""
    with grpc.insecure_channel(addresses[0]) as channel:
        yield channel


def check_of(channel: grpc.Channel) -> Any:
    """Returns the RPC by which it is asked."""
    return channel.unary_unary(
        CHECK,
        request_serializer=CheckRequest.SerializeToString,
        response_deserializer=CheckResponse.FromString,
    )


def request_of(headers: dict[str, str]) -> Any:
    """Returns the question about a request with some headers."""
    request = CheckRequest()
    for key, value in headers.items():
        request.attributes.request.http.headers.add(key=key, value=value)
    return request


MEDIA = ["application/json", "application/grpc", "application/grpc-web+proto"]


@pytest.mark.parametrize("media", MEDIA)
@pytest.mark.parametrize(("token", "code"), [("", 16), ("Bearer x", 16), ("real", 0)])
def test_answer(channel: grpc.Channel, token: str, code: int, media: str) -> None:
    """A good token is admitted; for others the answer is what the RPC would say."""
    headers = {"x-twc-tenant": "acme", "content-type": media}
    if token:
        headers["authorization"] = token
    if not code:
        headers["authorization"] = str(dict(as_tenant("acme"))["authorization"])
    answer = check_of(channel)(request_of(headers), timeout=SECONDS)
    assert answer.status.code == code
    if code:
        assert answer.denied_response.status.code == (401 if media == "application/json" else 200)
    if code and media == "application/json":
        assert json.loads(answer.denied_response.body)["code"] == code


def test_many_questions(channel: grpc.Channel) -> None:
    """However many requests the gateway asks about at once, it is told of each."""
    headers = {name: str(value) for name, value in as_tenant("acme")}
    check = check_of(channel)
    asked = [check.future(request_of(headers), SECONDS) for _ in range(500)]
    assert {it.result(SECONDS).status.code for it in asked} == {0}


def test_question_of_a_client(addresses: tuple[str, str]) -> None:
    """Nobody but the gateway can ask."""
    with (
        grpc.insecure_channel(addresses[1]) as channel,
        pytest.raises(grpc.RpcError) as failed,
    ):
        check_of(channel)(CheckRequest(), timeout=SECONDS)
    error: Any = failed.value
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
