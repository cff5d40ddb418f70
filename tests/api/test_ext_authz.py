"""Envoy's question whether a caller may send a large body, as the server answers it."""

import json

import grpc
import pytest

from tests.support.backends import any_backend
from tests.support.client import SECONDS, as_tenant
from twc_customer_server.transport.ext_authz import CheckRequest, CheckResponse

pytestmark = any_backend


MEDIA = ["application/json", "application/grpc", "application/grpc-web+proto"]


@pytest.mark.parametrize("media", MEDIA)
@pytest.mark.parametrize(("token", "code"), [("", 16), ("Bearer x", 16), ("real", 0)])
def test_answer(channel: grpc.Channel, tenant: str, token: str, code: int, media: str) -> None:
    """A good token is admitted; for others the answer is what the RPC would say."""
    request = CheckRequest()
    good = dict(as_tenant(tenant))
    headers = {"x-twc-tenant": tenant, "content-type": media, "authorization": token}
    if not code:
        headers["authorization"] = str(good["authorization"])
    for key, value in headers.items():
        if value:
            request.attributes.request.http.headers.add(key=key, value=value)
    check = channel.unary_unary(
        "/envoy.service.auth.v3.Authorization/Check",
        request_serializer=CheckRequest.SerializeToString,
        response_deserializer=CheckResponse.FromString,
    )
    answer = check(request, timeout=SECONDS)
    assert answer.status.code == code
    if code:
        assert answer.denied_response.status.code == (401 if media == "application/json" else 200)
    if code and media == "application/json":
        assert json.loads(answer.denied_response.body)["code"] == code
