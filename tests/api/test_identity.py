"""Who may call: tokens that are refused over a real server, and keys that change under load."""

import itertools
import json
import operator
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.api.issued import COOLDOWN, GET, LIFETIME, code, eventually, metadata, serving
from tests.support.backends import Backend, any_backend
from tests.support.client import SECONDS, SERVICE, Metadata, as_tenant, failure, send, tenant_header
from tests.support.forged import TENANT, forged_tokens, genuine_token
from tests.support.server_process import wait_until
from tests.support.servers import of_grpcio
from tests.support.tokens import Issuer, jwks

pytestmark = any_backend

RPCS = [method.name for method in SERVICE.methods]
each_rpc = pytest.mark.parametrize("rpc", RPCS)

# No request has this encoding.
MALFORMED = b"\x0a\x04\x1a\x02\xff\xfe\x0f"

ISSUED = Issuer()
FORGED = forged_tokens(ISSUED)
# A header that Envoy does not read to its end.
LONG = "payload of 64 KiB"

NO_TOKEN: dict[str, Metadata] = {
    "nothing": (),
    "Basic": (("authorization", "Basic YWNtZTpzZWNyZXQ="),),
    "Basic of a good token": (("authorization", f"Basic {genuine_token(ISSUED)}"),),
    "no scheme": (("authorization", genuine_token(ISSUED)),),
    "scheme alone": (("authorization", "Bearer"),),
    "scheme and a space": (("authorization", "Bearer "),),
    "empty": (("authorization", ""),),
    "twice": (("authorization", f"Bearer {genuine_token(ISSUED)}"),) * 2,
    "another header": (("x-authorization", f"Bearer {genuine_token(ISSUED)}"),),
    "cookie": (("cookie", f"authorization=Bearer {genuine_token(ISSUED)}"),),
}

THREADS = 8


@pytest.fixture(scope="module")
def own(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[grpc.Channel]:
    """A channel to a server that believes the issuer whose tokens are forged here."""
    folder = tmp_path_factory.mktemp("identity")
    location = folder / "jwks.json"
    location.write_bytes(jwks(ISSUED))
    with serving(backend.settings(folder), ISSUED.name, location) as channel:
        yield channel


def parts_of(token: str) -> set[str]:
    """What of a token an answer must not hold: any eight characters of it in a row."""
    return {token[at : at + 8] for at in range(len(token) - 7)}


def test_genuine_token(own: grpc.Channel) -> None:
    """The token that the forged ones are made of is good: each has one fault alone."""
    assert code(own, genuine_token(ISSUED)) is grpc.StatusCode.OK


@pytest.mark.parametrize(
    "name", [pytest.param(LONG, marks=of_grpcio), *(it for it in FORGED if it != LONG)]
)
def test_forged_token(own: grpc.Channel, name: str) -> None:
    """A forged token is UNAUTHENTICATED; the answer challenges, and repeats nothing of it."""
    method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = own.unary_unary(
        f"/{SERVICE.full_name}/GetCustomer"
    )
    call = method.future(GET, SECONDS, metadata(FORGED[name]))
    refused = failure(call.result)
    assert refused.code is grpc.StatusCode.UNAUTHENTICATED
    assert (refused.reason, refused.domain) == ("UNAUTHENTICATED", "customer.twc")
    assert (refused.owners, refused.fields, refused.resources) == ({}, {}, [])
    challenge = str(dict(call.trailing_metadata())["www-authenticate"])
    assert challenge.startswith("Bearer ")
    assert challenge.endswith(f'error="invalid_token", error_description="{refused.message}"')
    told = f"{refused.message} {call.initial_metadata()} {call.trailing_metadata()}"
    assert [part for part in parts_of(FORGED[name]) if part in told] == []


@each_rpc
def test_forged_token_on_malformed_request(own: grpc.Channel, rpc: str) -> None:
    """Each RPC refuses a forged token before it looks at the bytes of the request."""
    sent = metadata(FORGED["signature of zeros"])
    refused = failure(lambda: send(own, rpc, MALFORMED, sent))
    assert (refused.code, refused.reason) == (
        grpc.StatusCode.UNAUTHENTICATED,
        "UNAUTHENTICATED",
    )


@each_rpc
@pytest.mark.parametrize("sent", NO_TOKEN.values(), ids=NO_TOKEN)
def test_no_token(own: grpc.Channel, rpc: str, sent: Metadata) -> None:
    """Each RPC refuses a call without a bearer token, even if its request cannot be read."""
    refused = failure(lambda: send(own, rpc, MALFORMED, (*sent, tenant_header(TENANT))))
    assert (refused.code, refused.reason) == (
        grpc.StatusCode.UNAUTHENTICATED,
        "UNAUTHENTICATED",
    )


@each_rpc
@pytest.mark.parametrize("tenant", [(), (tenant_header("a b"),)], ids=["no", "an invalid"])
def test_no_token_and_no_tenant(channel: grpc.Channel, rpc: str, tenant: Metadata) -> None:
    """Without a token nothing is said about the tenant header."""
    refused = failure(lambda: send(channel, rpc, b"", tenant))
    assert refused.code is grpc.StatusCode.UNAUTHENTICATED


@each_rpc
@pytest.mark.parametrize("encoded", [b"", MALFORMED], ids=["empty", "malformed"])
def test_token_of_another_tenant(
    channel: grpc.Channel, tenant: str, rpc: str, encoded: bytes
) -> None:
    """Each RPC refuses the token of another tenant, before it looks at the request."""
    foreign = (as_tenant("foreign")[0], tenant_header(tenant))
    refused = failure(lambda: send(channel, rpc, encoded, foreign))
    assert refused.code is grpc.StatusCode.PERMISSION_DENIED
    assert (refused.reason, refused.domain) == ("TENANT_FORBIDDEN", "customer.twc")


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "bEaReR"])
def test_scheme(own: grpc.Channel, scheme: str) -> None:
    """The scheme's letters may be of any case."""
    sent = (("authorization", f"{scheme} {genuine_token(ISSUED)}"), tenant_header(TENANT))
    assert send(own, "GetCustomer", GET, sent) == [b""]


def test_health(own: grpc.Channel) -> None:
    """The health check needs no token; a server is ready when it has the issuer's keys."""
    stub: Any = health_pb2_grpc.HealthStub(own)

    def serves(service: str) -> bool:
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), SECONDS)
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    assert serves("")
    wait_until(lambda: serves(SERVICE.full_name))


def test_realms(own_database: dict[str, Any], tmp_path: Path) -> None:
    """With a realm per tenant, each tenant's tokens are proved by the keys of its own realm."""
    acme, other = (Issuer(f"https://id.example/{name}") for name in ("acme", "other"))
    (tmp_path / "acme.json").write_bytes(jwks(acme))
    (tmp_path / "other.json").write_bytes(jwks(other))
    template = "https://id.example/{tenant}"
    with serving(own_database, template, tmp_path / "{tenant}.json") as channel:
        codes = [code(channel, issuer.token()) for issuer in (acme, other)]
        other.name = acme.name
        codes.append(code(channel, other.token()))
    assert codes == [
        grpc.StatusCode.OK,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
    ]


class Load:
    """Threads that call with new tokens of some issuers, without a pause, until the end."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.codes: dict[str, set[grpc.StatusCode]] = {}
        self.calls = [0] * THREADS
        self._channel = channel
        self.issuers: list[Issuer] = []
        self._number = itertools.count()
        self._end = threading.Event()

    def use(self, *issuers: Issuer) -> None:
        """Has calls use these issuers' tokens; returns when none with others' is under way."""
        self.issuers = list(issuers)
        enough = [calls + 10 for calls in self.calls]
        eventually(lambda: all(map(operator.ge, self.calls, enough)))

    def run(self, thread: int) -> None:
        """Calls until the end."""
        while not self._end.is_set():
            number = next(self._number)
            issuer = self.issuers[number % len(self.issuers)]
            answer = code(self._channel, issuer.token(tenant=TENANT, jti=str(number)))
            self.codes.setdefault(issuer.key_id, set()).add(answer)
            self.calls[thread] += 1

    def end(self) -> None:
        """Ends the calls."""
        self._end.set()


def cool_down() -> None:
    """Waits until a read before this moment stands in the way of no other."""
    over = time.monotonic() + COOLDOWN
    eventually(lambda: time.monotonic() > over)


def seconds_until_refused(channel: grpc.Channel, token: str) -> float:
    """Calls with a token until it is UNAUTHENTICATED; returns how long that took."""
    since = time.monotonic()
    eventually(lambda: code(channel, token) is grpc.StatusCode.UNAUTHENTICATED)
    return time.monotonic() - since


def publish(location: Path, *issuers: Issuer) -> None:
    """Replaces a JWKS file at once, as those who rotate keys do."""
    draft = location.with_suffix(".draft")
    draft.write_bytes(jwks(*issuers))
    draft.rename(location)


def test_rotation(own_database: dict[str, Any], tmp_path: Path) -> None:
    """While keys change under load no token of a listed key is refused, and an old one's soon is.

    A new key is in use as soon as the cool-down since any read before its
    publication is over.
    """
    location = tmp_path / "jwks.json"
    old, *successors = (Issuer(key_id=f"key-{number}") for number in range(4))
    publish(location, old)
    with (
        serving(own_database, old.name, location) as channel,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        load = Load(channel)
        threads = []
        try:
            load.issuers = [old]
            threads = [pool.submit(load.run, thread) for thread in range(THREADS)]
            for successor in successors:
                publish(location, old, successor)
                cool_down()
                load.use(old, successor)
                load.use(successor)
                publish(location, successor)
                assert seconds_until_refused(channel, old.token(tenant=TENANT)) < LIFETIME + 10
                old = successor
        finally:
            load.end()
        for thread in threads:
            thread.result()
    assert load.codes == {f"key-{number}": {grpc.StatusCode.OK} for number in range(4)}


def test_removed_key_of_remembered_token(own_database: dict[str, Any], tmp_path: Path) -> None:
    """A token that is in use all the time is refused once its key is gone and its lifetime over."""
    location = tmp_path / "jwks.json"
    old, new = Issuer(key_id="key-1"), Issuer(key_id="key-2")
    publish(location, old)
    token = old.token(tenant=TENANT)
    with serving(own_database, old.name, location) as channel:
        assert code(channel, token) is grpc.StatusCode.OK
        publish(location, new)
        assert seconds_until_refused(channel, token) < LIFETIME + 10
        assert code(channel, new.token(tenant=TENANT)) is grpc.StatusCode.OK


def test_spoilt_jwks_file(own_database: dict[str, Any], tmp_path: Path) -> None:
    """A JWKS file that was spoilt costs no call: the keys at hand stay in use."""
    location = tmp_path / "jwks.json"
    issuer = Issuer()
    publish(location, issuer)
    with serving(own_database, issuer.name, location) as channel:
        codes = {code(channel, issuer.token(tenant=TENANT))}
        location.write_text(json.dumps({"keys": None}))
        over = time.monotonic() + 2 * LIFETIME
        numbers = itertools.takewhile(lambda _: time.monotonic() < over, itertools.count())
        codes |= {code(channel, issuer.token(tenant=TENANT, jti=str(it))) for it in numbers}
    assert codes == {grpc.StatusCode.OK}
