"""What can be set of a gateway whose servers run elsewhere."""

from typing import Any

import pytest
from pydantic import ValidationError

from twc_customer_gateway.settings import GatewaySettings

APART: dict[str, Any] = {"upstreams": ["a.example:50052"]}
TLS = APART | {"upstream_ca": "a.pem"}

ENDPOINT = "must be hosts with ports: api-1.example:50052,[2001:db8::2]:50052"
PAIR = "UPSTREAM_CERTIFICATE and UPSTREAM_KEY must be set together"
CA = "UPSTREAM_CA is required for TLS to servers: who certifies them"
DEVELOPMENT = "DEVELOPMENT is of servers: with UPSTREAMS, set it for those, and unset it here"

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no port": ({"upstreams": ["a.example"]}, ENDPOINT),
    "port 0": ({"upstreams": ["a.example:0"]}, ENDPOINT),
    "port beyond all": ({"upstreams": ["a.example:65536"]}, ENDPOINT),
    "URL": ({"upstreams": ["https://a.example:50052"]}, ENDPOINT),
    "IPv6 without brackets": ({"upstreams": ["2001:db8::2:50052"]}, ENDPOINT),
    "nothing": ({"upstreams": [""]}, ENDPOINT),
    "one twice": ({"upstreams": ["a:1", "a:1"]}, "must name each server once"),
    "CA without servers": (
        {"upstream_ca": "a.pem"},
        "UPSTREAM_CA needs UPSTREAMS, the servers to reach by TLS",
    ),
    "certificate alone": (TLS | {"upstream_certificate": "c"}, PAIR),
    "key alone": (TLS | {"upstream_key": "k"}, PAIR),
    "pair without CA": (APART | {"upstream_certificate": "c", "upstream_key": "k"}, CA),
    "name without CA": (APART | {"upstream_name": "api.example"}, CA),
    "development": (APART | {"development": True}, DEVELOPMENT),
    "server inside Envoy": (
        APART | {"serve": "inprocess"},
        "SERVE=inprocess serves inside Envoy: unset it, or UPSTREAMS",
    ),
    "one port": (
        APART | {"gateway_port": 9464, "metrics_port": 9464},
        "GATEWAY_PORT and METRICS_PORT must be different ports",
    ),
}

ACCEPTED: dict[str, tuple[dict[str, Any], list[tuple[str, int]]]] = {
    "name": (APART, [("a.example", 50052)]),
    "several": (
        {"upstreams": ["10.0.0.1:1", "[2001:db8::2]:65535", "api_1:80"]},
        [("10.0.0.1", 1), ("2001:db8::2", 65535), ("api_1", 80)],
    ),
    "TLS": (TLS, [("a.example", 50052)]),
    "mutual TLS": (
        TLS | {"upstream_certificate": "c", "upstream_key": "k", "upstream_name": "api"},
        [("a.example", 50052)],
    ),
    "port that only a server has": (APART | {"gateway_port": 50051}, [("a.example", 50052)]),
}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is set but what the test sets, and no issuer, which servers alone have."""
    for name in GatewaySettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(("given", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_upstreams(given: dict[str, Any], message: str) -> None:
    """What names no server, or does not go together, is refused with what would."""
    known = {} if "upstreams" in given else {"issuer": "a", "jwks": "b"}
    with pytest.raises(ValidationError) as refused:
        GatewaySettings(**known | given)
    assert message in str(refused.value)


@pytest.mark.parametrize(("given", "addresses"), ACCEPTED.values(), ids=ACCEPTED)
def test_accepted_upstreams(given: dict[str, Any], addresses: list[tuple[str, int]]) -> None:
    """Servers are hosts or addresses with ports, by TLS or without."""
    assert GatewaySettings(**given).upstream_addresses == addresses
