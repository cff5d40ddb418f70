"""Whatever arrives, the answer is a 4xx in the one shape, and nothing is stored."""

import json
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.gateway.errors import Error, error_of
from tests.gateway.stacks import http_headers
from tests.support.builders import NO_CUSTOMER
from tests.support.client import SECONDS
from tests.support.http_client import http_request
from tests.support.steps import EXAMPLES
from twc_customer_gateway.filters import SMALL_BODY_BYTES
from twc_customer_gateway.supervisor.stack import Stack

JSON = {"content-type": "application/json"}
INVALID, MALFORMED = "INVALID_INPUT", "MALFORMED_REQUEST"
EMAIL = "eve@example.com"


def _customer(**members: Any) -> str:
    return json.dumps({"email": EMAIL, "lastName": "Eve"} | members)


# What is sent as a customer, the reason it is refused for, and the field.
BODIES: dict[str, tuple[str | bytes, str, str | None]] = {
    "placeholder email": (_customer(email="string"), INVALID, "email"),
    "placeholder phone": (_customer(phone="string"), INVALID, "phone"),
    "placeholder value": (
        _customer(
            attributeGroups={
                "g": {"attributes": {"a": {"attribute_value": "string", "value_type": "INTEGER"}}}
            }
        ),
        INVALID,
        'attributeGroups["g"].attributes["a"].attribute_value',
    ),
    "blank": ("{}", INVALID, "email"),
    "blank email": (_customer(email="  "), INVALID, "email"),
    "nothing": ("", INVALID, "body"),
    "null": ("null", INVALID, "body"),
    "list": (f"[{_customer()}]", INVALID, "body"),
    "text": ('"eve@example.com"', INVALID, "body"),
    "number for text": (_customer(firstName=5), INVALID, "firstName"),
    "text for boolean": (_customer(taxExempt="yes"), INVALID, "taxExempt"),
    "number for boolean": (_customer(active=1), INVALID, "active"),
    "object for list": (_customer(addresses={"city": "Rom"}), INVALID, "addresses"),
    "list for object": (_customer(defaultAddress=[{"city": "Rom"}]), INVALID, "defaultAddress"),
    "list for map": (_customer(attributeGroups=[]), INVALID, "attributeGroups"),
    "text for list": (_customer(taxExemptions="all"), INVALID, "taxExemptions"),
    "null in list": (
        _customer(addresses=[{"city": "Rom"}, None]),
        INVALID,
        "addresses[1]",
    ),
    "null in texts": (_customer(taxExemptions=[None]), INVALID, "taxExemptions[0]"),
    "null in map": (_customer(attributeGroups={"g": None}), INVALID, 'attributeGroups["g"]'),
    "empty address": (_customer(addresses=[{}]), INVALID, "addresses[0]"),
    "unknown enum name": (_customer(customer_state="asleep"), INVALID, "customer_state"),
    "unknown enum number": (_customer(customer_state=99), INVALID, "customer_state"),
    "unknown level": (
        _customer(accepts_marketing=True, marketing_optin_level=9),
        INVALID,
        "marketing_optin_level",
    ),
    "not a timestamp": (
        _customer(marketing_preferences_updated_at="yesterday"),
        INVALID,
        "marketing_preferences_updated_at",
    ),
    "time without zone": (
        _customer(marketing_preferences_updated_at="2001-01-01T00:00:00"),
        INVALID,
        "marketing_preferences_updated_at",
    ),
    "time with an incomplete zone": (
        _customer(marketing_preferences_updated_at="2001-01-01T00:00:00+01"),
        INVALID,
        "marketing_preferences_updated_at",
    ),
    "time with a point and no digits": (
        _customer(marketing_preferences_updated_at="2001-01-01T00:00:00.Z"),
        INVALID,
        "marketing_preferences_updated_at",
    ),
    "time with ten digits of a fraction": (
        _customer(marketing_preferences_updated_at="2001-01-01T00:00:00.1234567890Z"),
        INVALID,
        "marketing_preferences_updated_at",
    ),
    "time in lower case": (
        _customer(marketing_preferences_updated_at="2001-01-01t00:00:00z"),
        INVALID,
        "marketing_preferences_updated_at",
    ),
    "time of many digits": (
        _customer(marketing_preferences_updated_at=f"2001-01-01T00:00:00{'1' * 10_000}"),
        INVALID,
        "marketing_preferences_updated_at",
    ),
    "enum of many digits": (_customer(customer_state="0" * 10_000), INVALID, "customer_state"),
    "reference of a dot": (_customer(customerRef="."), INVALID, "customerRef"),
    "future birth": (_customer(dob="2999-01-01"), INVALID, "dob"),
    "NUL": (_customer(firstName="a\0b"), INVALID, "firstName"),
    "NUL in a key": (_customer(attributeGroups={"a\0b": {}}), INVALID, 'attributeGroups["a\0b"]'),
    **{
        f"half of a surrogate pair, {half}": (
            f'{{"email": "{EMAIL}", "firstName": "a{half}"}}',
            INVALID,
            "firstName",
        )
        for half in (
            "\\ud83d",
            "\\uD83Dx",
            "\\ud83d\\n",
            "\\ud83d\\ud83d",
            "\\udc00",
            "\\ude00\\ud83d",
        )
    },
    **{
        f"no UTF-8, {spoilt!r}": (
            b'{"email": "%b", "firstName": "x%b"}' % (EMAIL.encode(), spoilt),
            INVALID,
            "firstName",
        )
        for spoilt in (
            b"\xff",
            b"\xfc",
            b"\x80",
            b"\xc0\x80",
            b"\xc3",
            b"\xc3x",
            b"\xe0\x80\x80",
            b"\xe2\x82",
            b"\xed\xa0\x80",
            b"\xf0\x80\x80\x80",
            b"\xf0\x9f\x98",
            b"\xf4\x90\x80\x80",
            b"\xf5\x80\x80\x80",
        )
    },
    "no UTF-8 in a later text": (
        b'{"firstName": "Ad\xc3\xa4", "lastName": "\xe4"}',
        INVALID,
        "lastName",
    ),
    "no UTF-8 in a name": (b'{"email": "e@example.com", "n\xe4me": 1}', INVALID, "body"),
    "too large a number": (_customer(spendToNextTier=10**400), INVALID, "spendToNextTier"),
    "too large an exponent": (
        f'{{"email": "{EMAIL}", "spendToNextTier": -1e999}}',
        INVALID,
        "spendToNextTier",
    ),
    "byte order mark within": (" \ufeff" + _customer(), INVALID, "body"),
    "deep": (f'{{"email": "{EMAIL}", "x": {"[" * 10_000}{"]" * 10_000}}}', INVALID, "x"),
    "deep objects": ('{"a":' * 10_000 + "1" + "}" * 10_000, INVALID, "a"),
    "huge map": (
        _customer(attributeGroups={f"g{n}": {} for n in range(9999)}),
        INVALID,
        "attributeGroups",
    ),
    "huge list": (_customer(addresses=[{"city": "Rom"}] * 9999), INVALID, "addresses"),
    "huge text": (_customer(firstName="x" * 1_000_000), INVALID, "firstName"),
    "key twice": (f'{{"email": "{EMAIL}", "email": "eva@example.com"}}', INVALID, "email"),
    "list twice": (
        f'{{"email": "{EMAIL}", "addresses": [{{"city": "A"}}], "addresses": []}}',
        INVALID,
        "addresses",
    ),
    "both spellings": (
        _customer(customerState="invited", customer_state="enabled"),
        INVALID,
        "customer_state",
    ),
    "escaped member": (f'{{"\\u0065mail": "{EMAIL}"}}', INVALID, "\\u0065mail"),
    "single quotes": (f"{{'email': '{EMAIL}'}}", INVALID, "body"),
    "unquoted member": (f'{{email: "{EMAIL}"}}', INVALID, "body"),
    "trailing comma": (f'{{"email": "{EMAIL}",}}', INVALID, "body"),
    "comment": (f'{{"email": "{EMAIL}" /* Eve */}}', INVALID, "body"),
    "truncated": (f'{{"email": "{EMAIL}"', INVALID, "body"),
    "two values": (_customer() + _customer(), INVALID, "body"),
    "not a number": (f'{{"email": "{EMAIL}", "x": NaN}}', INVALID, "x"),
    "octal number": (f'{{"email": "{EMAIL}", "x": 012}}', INVALID, "x"),
    "date without quotes": (f'{{"email": "{EMAIL}", "dob": 2001-05-28}}', INVALID, "dob"),
    "number without digits": (f'{{"email": "{EMAIL}", "x": [1, -]}}', INVALID, "x[1]"),
    "fraction without digits": (f'{{"email": "{EMAIL}", "x": 1.}}', INVALID, "x"),
    "exponent without digits": (f'{{"email": "{EMAIL}", "x": 1e+}}', INVALID, "x"),
    "two exponents": (f'{{"email": "{EMAIL}", "x": 1e1e1}}', INVALID, "x"),
    "unknown escape": (f'{{"email": "{EMAIL}", "firstName": "\\x41"}}', INVALID, "firstName"),
    "short escape": (f'{{"email": "{EMAIL}", "firstName": "\\u12"}}', INVALID, "firstName"),
    "unknown name twice": (f'{{"email": "{EMAIL}", "x": {{"a": 1, "a": 2}}}}', INVALID, "x.a"),
    "raw line feed": (f'{{"email": "{EMAIL}", "firstName": "a\nb"}}', INVALID, "firstName"),
}


@pytest.mark.parametrize("path", ["/customers", "/customers/validate", "/upload-customers"])
@pytest.mark.parametrize("case", BODIES)
def test_invalid_body(case: str, path: str, http: httpx.Client) -> None:
    """A body that is no valid customer is refused by the name of its field, and not stored."""
    body, reason, field = BODIES[case]
    if path == "/upload-customers" and case in ("list", "two values", "nothing"):
        body = "{}"  # As an upload these are lists, and a list of one is fine.
        reason, field = INVALID, "body"
    elif path == "/upload-customers":
        body = b"[" + (body if isinstance(body, bytes) else body.encode()) + b"]"

    response = http.post(path, content=body, headers=JSON)

    if path == "/upload-customers" and response.status_code == 200:
        [result] = response.json()
        assert result["error"]["code"] == 3
    else:
        error = error_of(response)
        assert (error.status, error.code, error.reason) == (400, 3, reason)
        if path != "/upload-customers":
            assert error.fields == ([field] if field else [])
    assert http.get("/customers/search?lastName=Eve").json() == []


PATHS = {
    "no UTF-8 in the path": ("GET", "/customers/%FF", 400),
    "no UTF-8 in a reference": ("GET", "/customers/%C3%28/ref", 400),
    "no UTF-8 in the query": ("GET", "/customers/search?firstName=%FF", 400),
    "NUL in the query": ("GET", "/customers/search?firstName=a%00b", 400),
    "unknown parameter": ("GET", "/customers/search?email=eve@example.com&nick=e", 400),
    "parameter twice": ("GET", "/customers/search?email=a@example.com&email=b@example.com", 400),
    "not a number": ("GET", "/customers/search?lastName=Eve&pageSize=many", 400),
    "too large a number": ("GET", "/customers/search?lastName=Eve&pageSize=99999999999", 400),
    "negative page": ("GET", "/customers/search?lastName=Eve&pageSize=-1", 400),
    "forged token": ("GET", "/customers/search?lastName=Eve&pageToken=AAAA", 400),
    "empty parameter": ("GET", "/customers/search?email=", 400),
    "placeholder email": ("GET", "/customers/search?email=string", 400),
    "id in path and query": ("GET", "/customers/1?id=2", 400),
    "ref in path and query": ("GET", "/customers/1/ref?customerRef=2", 400),
    "ref by its other name": ("DELETE", "/customers/1/ref?customer_ref=2", 400),
}


@pytest.mark.parametrize("case", PATHS)
def test_path_and_query(case: str, http: httpx.Client) -> None:
    """A path or query that cannot be meant is refused in the one shape."""
    method, path, status = PATHS[case]
    response = http.request(method, path)

    assert error_of(response).status == status


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/customers", "customer.verified_email=true"),
        ("/customers", "customer.email=eva@example.com"),
        ("/customers", "%63ustomer.verified_email=true"),
        ("/customers", "verified_email=true"),
        ("/customers/validate", "customer.verified_email=true"),
        ("/upload-customers", "customer.verified_email=true"),
        (f"{NO_CUSTOMER}/address", "id=y"),
        (f"{NO_CUSTOMER}/address", "address.city=Rom"),
    ],
)
def test_query_beside_body(path: str, query: str, http: httpx.Client) -> None:
    """No query parameter sets a field of the body or of the path."""
    body = f"[{_customer()}]" if path == "/upload-customers" else _customer()
    response = http.post(f"{path}?{query}", content=body, headers=JSON)

    assert error_of(response) == Error(400, 3, MALFORMED, [])
    assert http.get("/customers/search?lastName=Eve").json() == []


@pytest.mark.parametrize(
    "headers",
    [
        {"grpc-encoding": "bogus"},
        {"grpc-timeout": "1n"},
        {"grpc-accept-encoding": "bogus"},
        {"grpc-status": "0", "grpc-message": "forged"},
        {"trace-bin": "not base64!"},
        {"GRPC-Encoding": "bogus", "Foo-Bin": "!!!"},
        {"x-http-code": "500"},
        {"x-envoy-upstream-rq-timeout-ms": "1"},
    ],
    ids=", ".join,
)
def test_forged_headers(headers: dict[str, str], http: httpx.Client) -> None:
    """Headers of gRPC's own, sent by a REST client, change nothing."""
    created = http.post("/customers", content=_customer(), headers=JSON | headers)
    read = http.get(f"/customers/{created.json()['id']}", headers=headers)

    assert (created.status_code, read.status_code) == (201, 200)


@pytest.mark.parametrize("media", ["application/grpc", "application/grpc-web"])
def test_grpc_media_type_on_rest(media: str, http: httpx.Client) -> None:
    """A read that claims to be gRPC is answered as the REST request that it is."""
    created = http.post("/customers", content=_customer(), headers=JSON).json()
    response = http.get("/customers/search?lastName=eve", headers={"content-type": media})

    assert response.json() == [created]


def test_unknown_transfer_encoding(stack: Stack) -> None:
    """A transfer encoding that is not served is the caller's error."""
    with closing(
        HTTPConnection("127.0.0.1", stack.settings.gateway_port, timeout=SECONDS)
    ) as connection:
        connection.request("GET", f"/api/v2{NO_CUSTOMER}", headers={"transfer-encoding": "gzip"})
        answer = connection.getresponse()

        assert answer.status == 400
        assert json.load(answer)["details"][0]["reason"] == MALFORMED


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 65, "a,b", "a;b", "*"])
def test_tenant_name(name: str, http: httpx.Client) -> None:
    """A tenant whose name cannot exist is refused, whatever else is wrong."""
    response = http.post("/customers", content="{}", headers={**JSON, "X-TWC-Tenant": name})

    assert error_of(response) == Error(400, 3, "INVALID_TENANT", [])


def test_no_tenant(origin: str, tenant: str) -> None:
    """A request without a tenant is refused."""
    headers = {"authorization": http_headers(tenant)["authorization"]}
    response = http_request("GET", f"{origin}/api/v2{NO_CUSTOMER}", headers=headers)

    assert error_of(response) == Error(400, 3, "INVALID_TENANT", [])


def test_too_large_body(http: httpx.Client) -> None:
    """A body beyond the bounds is refused before it is read as JSON."""
    response = http.post("/customers", content=b'"' + b"x" * (3 << 20), headers=JSON)

    assert error_of(response) == Error(413, 3, "REQUEST_TOO_LARGE", [])


def test_headers_too_large(http: httpx.Client) -> None:
    """Headers beyond the bounds are refused."""
    response = http.get(NO_CUSTOMER, headers={"x-note": "x" * 120_000})

    assert error_of(response) == Error(431, 3, MALFORMED, [])


def test_upload_too_large(http: httpx.Client) -> None:
    """An upload of more than 16 MiB, or of more than 10,000 customers, stores nothing."""
    large = http.post("/upload-customers", content=b"[" + b" " * (17 << 20), headers=JSON)
    items = [{"email": f"eve{number}@example.com", "lastName": "Eve"} for number in range(10_001)]
    many = http.post("/upload-customers", json=items)

    assert error_of(large) == Error(413, 3, "REQUEST_TOO_LARGE", [])
    assert error_of(many) == Error(400, 3, INVALID, ["body"])
    assert http.get("/customers/search?lastName=Eve").json() == []


def test_every_wrong_type_at_once(http: httpx.Client) -> None:
    """All members of a wrong type are named at once, in an upload with their index."""
    bad = {"email": 5, "active": "yes", "addresses": [{"city": 1}, None], "customer_state": "x"}
    fields = ["email", "active", "addresses[0].city", "addresses[1]", "customer_state"]

    one = http.post("/customers", json=bad)
    many = http.post("/upload-customers", json=[{"email": EMAIL}, bad])

    assert error_of(one).fields == fields
    assert error_of(many).fields == [f"[1].{field}" for field in fields]


@pytest.mark.parametrize(
    "time",
    [
        "2001-05-28T00:00:00Z",
        "2001-05-28T00:00:00.1Z",
        "2001-05-28T00:00:00.123456789Z",
        "2001-05-28T00:00:00+01:00",
        "2001-05-28T00:00:00.123456789-01:00",
    ],
)
def test_time(http: httpx.Client, time: str) -> None:
    """A time of RFC 3339 with up to nine digits of a fraction is admitted."""
    body = _customer(marketing_preferences_updated_at=time)

    assert http.post("/customers/validate", content=body, headers=JSON).status_code == 200


def test_full_customer(http: httpx.Client) -> None:
    """A small body with as much in it as customers of its size have is admitted."""
    attribute = {"attribute_value": "gold", "value_type": "STRING"}
    groups = {"a": {"attributes": {f"a{number}": attribute for number in range(100)}}}
    addresses = [{"city": "Rom"}] * 50
    whole = {"email": EMAIL, "addresses": addresses, "attributeGroups": groups}
    body = json.dumps(whole, separators=(",", ":"))
    assert len(body) < SMALL_BODY_BYTES

    assert http.post("/customers/validate", content=body, headers=JSON).status_code == 200


def test_too_many_values(http: httpx.Client) -> None:
    """A body of more values than any customer has for its size is refused."""
    body = b'{"email": "eve@example.com", "x": [%b1]}' % (b"1," * 5_000)

    assert error_of(http.post("/customers", content=body, headers=JSON)) == Error(
        400, 3, INVALID, ["body"]
    )


def test_too_many_names(http: httpx.Client) -> None:
    """An upload of more than 200,000 different names is refused."""
    names = ",".join(f'"{number:x}":"{number:x}"' for number in range(200_001))
    response = http.post("/upload-customers", content=f'[{{"x":{{{names}}}}}]', headers=JSON)

    assert error_of(response) == Error(400, 3, INVALID, ["body"])
    assert "different names" in response.json()["message"]


def test_endless_upload(http: httpx.Client) -> None:
    """An upload of millions of items is refused where it has one too many, and quickly."""
    response = http.post(
        "/upload-customers",
        content=b"[" + b"{}," * 5_000_000 + b"{}]",
        headers=JSON,
    )

    assert error_of(response) == Error(400, 3, INVALID, ["body"])


@pytest.mark.parametrize(
    "body",
    ["[{0},1]", "[{0}, {0}", '[{0}, {{"email": 5}}]', "[{0}] x", '[{0}, "x"]', "[{0},]", "[[{0}]]"],
)
def test_broken_upload(body: str, http: httpx.Client) -> None:
    """One item that is not an object, or broken JSON anywhere, refuses the whole upload."""
    response = http.post("/upload-customers", content=body.format(_customer()), headers=JSON)

    assert error_of(response).status == 400
    assert http.get("/customers/search?lastName=Eve").json() == []


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["email", "addresses", "attributeGroups", "dob", "phone", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=JSON_VALUES)
def test_any_json(http: httpx.Client, value: Any) -> None:
    """Any JSON at all is either a customer or refused in the one shape, never a failure."""
    response = http.post("/customers/validate", content=json.dumps(value), headers=JSON)

    assert response.status_code == 200 or error_of(response).status == 400


@settings(EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=200))
def test_any_bytes(http: httpx.Client, body: bytes) -> None:
    """Any bytes at all are refused in the one shape."""
    response = http.post("/customers/validate", content=body, headers=JSON)

    assert error_of(response).status == 400
