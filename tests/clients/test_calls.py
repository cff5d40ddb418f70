"""Every foreign client makes the calls of the API, and reads customers and errors."""

from typing import Any

import httpx
import pytest

from tests.clients.foreign import BIN, ROOT, Client, Observe, run, skip_unless_installed
from tests.clients.values import CREATED, ORIGIN, PATH_PREFIX, UPDATED, UPLOADED, VALUES
from twc_customer_gateway.supervisor.stack import Stack

# The beginnings of paths below which the SDK may make its calls.
SDK_PREFIXES = ("", PATH_PREFIX)

# Of each call that the SDK alone has: the status, and the first name and the number of addresses
# of the customer that is stored then.
_CHANGED, _DELETED = [200, VALUES["newName"], 1], [204, None, None]
SDK_ALONE = {
    "updateById": _CHANGED,
    "updateByRef": _CHANGED,
    "updateByEmail": _CHANGED,
    "getByEmail": [200, None, 1],
    "deleteAddress": [200, None, 0],
    "deleteById": _DELETED,
    "deleteByRef": _DELETED,
}

# Clients of gRPC, on the gateway and on the native port.
GRPC = {
    f"{name} on {port}": Client(program, port, given)
    for port in ("gateway_port", "grpc_port")
    for name, program, given in (
        ("grpcurl", "with_grpcurl", ()),
        ("grpclib", "with_grpclib", ()),
        ("betterproto", "with_betterproto", ()),
        ("grpc-js", "grpc_js.js", ()),
        ("connect-node", "connect.js", (("transport", "node-grpc"),)),
    )
}
# Clients of pages, which send no streams.
BROWSERS = {
    "connect-web": Client("connect.js", given=(("transport", "web-grpc-web"),)),
    "grpc-web": Client("grpc_web.js"),
}
CONNECT_NODE_WEB = Client("connect.js", given=(("transport", "node-grpc-web"),))
AXIOS = Client("axios.js", given=(("prefixes", SDK_PREFIXES),))
STREAMING = GRPC | {"connect-node with gRPC-Web": CONNECT_NODE_WEB, "axios": AXIOS}
ALL = STREAMING | BROWSERS

each_client = pytest.mark.parametrize("client", ALL.values(), ids=ALL)

# Errors, of whose metadata `id` stands for the customer's id.
ERRORS: dict[str, dict[str, Any]] = {
    "clash": {"code": 6, "reason": "ALREADY_EXISTS", "metadata": {"email": "id"}, "fields": []},
    "invalid": {
        "code": 3,
        "reason": "INVALID_INPUT",
        "metadata": {},
        "fields": ["addresses[0].countryCode", "email"],
    },
    "missing": {"code": 5, "reason": "RESOURCE_NOT_FOUND", "metadata": {}, "fields": []},
    "anonymous": {"code": 16, "reason": "UNAUTHENTICATED", "metadata": {}, "fields": []},
}


@each_client
def test_create_and_read(client: Client, observe: Observe) -> None:
    """A client reads what it created, letter by letter, in every way in which it can be read."""
    seen = observe(client)

    assert seen["created"] == CREATED
    assert seen["read"] == seen["byRef"] == CREATED
    assert seen["found"] == [CREATED]


@each_client
def test_update(client: Client, observe: Observe) -> None:
    """A client that sets some fields changes these, and no other."""
    assert observe(client)["updated"] == UPDATED


@each_client
def test_delete(client: Client, observe: Observe) -> None:
    """A client finds no customer where it has deleted one."""
    assert observe(client)["afterwards"] is None


@each_client
@pytest.mark.parametrize("error", ERRORS)
def test_error(client: Client, error: str, observe: Observe) -> None:
    """A client reads the code, reason, metadata and field violations of an error."""
    seen = observe(client)
    expected = ERRORS[error]
    metadata = {name: seen[value] for name, value in expected["metadata"].items()}

    assert seen["errors"][error] == expected | {"metadata": metadata}


@pytest.mark.parametrize("client", STREAMING.values(), ids=STREAMING)
def test_upload(client: Client, observe: Observe) -> None:
    """A client uploads a list, and reads the outcome of each item."""
    assert observe(client)["uploaded"] == UPLOADED


def test_sdk(observe: Observe) -> None:
    """Every call of the SDK succeeds, with the status that the document has."""
    seen = observe(AXIOS)

    assert seen["valid"] == CREATED
    assert seen["addresses"] == [VALUES["city"]] * 2
    assert seen["statuses"] == {
        "create": 201,
        "upload": 200,
        "validate": 200,
        "update": 200,
        "addAddress": 200,
        "get": 200,
        "getAfterwards": 204,
        "getByRef": 200,
        "search": 200,
        "delete": 204,
        "deleteByRef": 204,
    }
    assert seen["sdk"] == [SDK_ALONE] * len(SDK_PREFIXES)


@pytest.mark.parametrize("client", BROWSERS.values(), ids=BROWSERS)
def test_headers_of_browsers(client: Client, observe: Observe, service: Stack) -> None:
    """A page may send every header that its client sends, and read a gRPC error."""
    sent = set(observe(client)["sent"])
    origin = f"http://{service.settings.bind}:{service.settings.gateway_port}"
    path = "/twc.customer.v2.CustomerService/GetCustomer"
    asked = {
        "origin": ORIGIN,
        "access-control-request-method": "POST",
        "access-control-request-headers": ",".join(sorted(sent)),
    }
    preflight = httpx.options(f"{origin}{path}", headers=asked)
    answer = httpx.post(
        f"{origin}{path}",
        headers={"origin": ORIGIN, "content-type": "application/grpc-web+proto"},
    )

    # Every page may send this one.
    allowed = {*_names(preflight, "access-control-allow-headers"), "accept"}
    assert sent
    assert sent <= allowed
    assert {"grpc-status", "grpc-message", "grpc-status-details-bin"} <= {
        *_names(answer, "access-control-expose-headers")
    }


def _names(response: httpx.Response, header: str) -> list[str]:
    return [name.strip() for name in response.headers[header].split(",")]


@pytest.mark.parametrize("port", ["gateway_port", "grpc_port"])
@pytest.mark.parametrize(
    ("symbol", "shown"),
    [
        ("twc.customer.v2.CustomerService", "rpc LookupCustomers ("),
        ("twc.customer.v2.CustomerService.CreateCustomer", "rpc CreateCustomer ("),
        ("twc.customer.v2.Customer", "optional string first_name = 4"),
        ("twc.customer.v2.Customer.email", "optional string email = 3"),
        ("twc.customer.v2.Customer.State", "invited = 2"),
        ("google.rpc.BadRequest", "field_violations = 1"),
    ],
)
def test_describe(symbol: str, shown: str, port: str, service: Stack) -> None:
    """`grpcurl describe` shows services, methods, messages, fields and the details of errors."""
    skip_unless_installed("with_grpcurl")
    address = f"{service.settings.bind}:{getattr(service.settings, port)}"
    command = [str(BIN / "grpcurl"), "-plaintext", address, "describe", symbol]

    assert shown in run(command, ROOT)
