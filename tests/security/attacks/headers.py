"""Headers that the service must not believe, or that are too large."""

from twc.customer.v2 import customer_service_pb2 as pb

from tests.security.attacker import API, SERVICE, Attacker
from tests.security.attacks.registry import EVERYONE, FOREIGN, NOBODY, OWNER, attack
from tests.security.http1 import request
from tests.security.outcomes import OPEN
from tests.support.builders import NO_CUSTOMER
from tests.support.http2_frames import message

# A word that must never be in the service's log, and a name that no line of it may have.
CANARY, FORGED = "CANARY", "FORGED"

_ENVOY = {
    "x-envoy-original-method": CANARY,
    "x-envoy-original-path": f"/{CANARY}",
    "x-envoy-upstream-rq-timeout-ms": "1",
    "x-envoy-max-retries": "1000",
    "x-envoy-retry-on": "5xx",
    "x-envoy-force-trace": "true",
    "x-envoy-decorator-operation": CANARY,
    "x-envoy-internal": "true",
    "x-envoy-external-address": CANARY,
    "x-envoy-attempt-count": CANARY,
    "x-envoy-upstream-alt-stat-name": CANARY,
    "x-envoy-ratelimited": "true",
    "x-envoy-immediate-health-check-fail": "true",
    "x-envoy-expected-rq-timeout-ms": "1",
    "x-envoy-hedge-on-per-try-timeout": "true",
    "x-envoy-ip-tags": CANARY,
    "x-envoy-is-timeout-retry": "true",
}


@attack(who=EVERYONE, quick=NOBODY)
def envoys_own_headers(attacker: Attacker) -> None:
    """Requests with each header by which Envoy can be told something."""
    headers = [*_ENVOY.items()]
    sent = [attacker.request("GET", NO_CUSTOMER, None, [each]) for each in headers]
    sent += [attacker.request("GET", NO_CUSTOMER, None, headers)]
    sent += [attacker.request("POST", "/customers", b"{}", headers)]
    attacker.repeat(*sent, connections=2)


# The health check is served to anyone.
@attack(who=NOBODY, is_public=True)
def envoys_own_headers_to_health(attacker: Attacker) -> None:
    """Health checks that tell Envoy to fail, and to log another method."""
    attacker.repeat(request("GET", "/healthz", [*_ENVOY.items()]), connections=2)


@attack(who=EVERYONE)
def forged_log(attacker: Attacker) -> None:
    """Requests whose method, path, query and headers would be lines or members of the log."""
    member = f'","{FORGED}":"1'
    names = ("x-request-id", "user-agent", "referer", "x-forwarded-for", "traceparent", "via")
    sent = [
        attacker.request("GET", NO_CUSTOMER, None, [(name, f"{member}\\n{{}}")]) for name in names
    ]
    sent += [attacker.request("GET", f"/customers/{CANARY}%22%0a{{?a={CANARY}", None)]
    sent += [attacker.request("GET", f"/customers/search?email={CANARY}@example.com", None)]
    sent += [request(CANARY, f"{API}/customers", [*attacker.headers().items()])]
    sent += [attacker.request("POST", "/customers", f'{{"{CANARY}": "{CANARY}"}}'.encode())]
    sent += [
        request(
            "GET",
            f"{API}{NO_CUSTOMER}",
            [("authorization", f"Bearer {CANARY}"), ("x-twc-tenant", CANARY), ("cookie", CANARY)],
        )
    ]
    attacker.repeat(*sent, connections=2)


@attack(native=True)
def long_log_lines(attacker: Attacker) -> None:
    """Calls whose request id, tenant, path and user agent have 50 kB each."""
    long = "x" * 12_000
    odd = (
        attacker.rpc(f"{SERVICE}/GetCustomer", x_request_id=long, user_agent=long),
        attacker.rpc(f"{SERVICE}/{long}"),
        attacker.rpc(f"/{long}/GetCustomer"),
        [(name, long if name == "x-twc-tenant" else it)
         for name, it in attacker.rpc(f"{SERVICE}/GetCustomer")],
    )  # fmt: skip
    while not attacker.is_over:
        attacker.call_all(odd, message(b""))


@attack(who=EVERYONE)
def forwarded_headers(attacker: Attacker) -> None:
    """Requests that say they come from elsewhere, for elsewhere, or as another method."""
    names = (
        *("x-forwarded-for", "x-real-ip", "x-forwarded-host", "x-forwarded-proto", "forwarded"),
        *("x-original-url", "x-rewrite-url", "x-forwarded-prefix", "x-forwarded-user"),
        *("x-http-method-override", "x-method-override", "x-twc-user", "x-tenant", "x-http-code"),
    )
    sent = [
        attacker.request("GET", NO_CUSTOMER, None, [(name, value)])
        for name in names
        for value in ("127.0.0.1", "DELETE", "victim", "200")
    ]
    attacker.repeat(*sent, connections=2)


@attack(who=NOBODY)
def large_headers(attacker: Attacker) -> None:
    """Requests with 50 headers of 1.8 kB, and with one of 200 kB."""
    many = [(f"x-{n}", "y" * 1800) for n in range(50)]
    sent = [
        attacker.request("GET", NO_CUSTOMER, None, many),
        attacker.request("GET", NO_CUSTOMER, None, [("x-a", "y" * 200_000)]),
    ]
    attacker.repeat(*sent, connections=8)


@attack(who=FOREIGN, native=True)
def large_metadata(attacker: Attacker) -> None:
    """Native calls with a header of 90 kB, and with one of 200 kB."""
    while not attacker.is_over:
        for size in (90_000, 200_000):
            with attacker.http2() as connection:
                headers = attacker.rpc(f"{SERVICE}/GetCustomer", x_a="y" * size)
                stream = connection.open(headers)
                connection.write(stream, message(b""), attacker.end, end=True)
                connection.wait(attacker.end + attacker.answer_seconds)


@attack(who=OWNER, native=True)
def large_metadata_beside_an_import(attacker: Attacker) -> None:
    """Calls with headers of 90 and of 200 kB on the connection of an import, which must go on."""
    batch = pb.ImportCustomersRequest(items=[pb.ImportItem(sequence=1)]).SerializeToString()
    for size in (90_000, 200_000):
        with attacker.http2() as connection:
            running = connection.open(attacker.rpc(f"{SERVICE}/ImportCustomers"))
            connection.write(running, message(batch), attacker.end)
            large = connection.open(attacker.rpc(f"{SERVICE}/GetCustomer", x_a="y" * size))
            connection.write(large, message(b""), attacker.end, end=True)
            while not (connection.closed or attacker.is_over or connection.answers[large].is_over):
                connection.read(0.1)
            before = connection.answers[running].size
            connection.write(running, message(batch), attacker.end)
            while connection.answers[running].size == before and not attacker.is_over:
                if connection.closed:
                    break
                connection.read(0.1)
            label = connection.answers[running].label
            if connection.closed or label != OPEN or connection.answers[running].size == before:
                attacker.outcomes.find(
                    f"a header of {size // 1000} kB ended an import on the same connection "
                    f"({connection.closed or label})"
                )
