"""The reference pages have every setting, route and error, as the code has them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from annotated_types import Ge, Gt, Le
from pydantic.fields import FieldInfo
from twc.customer.v2 import error_reason_pb2 as reasons

from tests.docs.pages import ROOT, tables
from tests.support.servers import LEFT_OUT
from twc_customer_client.errors import BY_REASON
from twc_customer_gateway.matchers import HttpRoute, http_routes
from twc_customer_gateway.settings import GatewaySettings
from twc_customer_server.contract import SERVICE
from twc_customer_server.settings.sources import concerns

DOCS = ROOT / "docs"
SETTINGS = {
    cells[0].strip("`"): cells[1:]
    for cells in tables(DOCS / "settings.md")
    if cells[0].startswith("`") and not cells[0].startswith("`OTEL_")
}
CALLS = (DOCS / "api.md").read_text()


def _default(field: FieldInfo) -> str:
    """Returns a default as its environment variable would be written, in backticks."""
    value: Any = field.default
    if value is None:
        return ""
    return f"`{value if isinstance(value, (str, Path)) else json.dumps(value)}`"


def _range(field: FieldInfo) -> str:
    """Returns the range of a number as the page writes it."""
    least = next((rule.ge for rule in field.metadata if isinstance(rule, Ge)), None)
    above = next((rule.gt for rule in field.metadata if isinstance(rule, Gt)), None)
    most = next((rule.le for rule in field.metadata if isinstance(rule, Le)), None)
    if above is not None:
        return f"over {above}" + ("" if most is None else f", at most {most}")
    if least is not None:
        return f"from {least}" if most is None else f"{least} to {most}"
    return ""


def test_list_of_settings() -> None:
    """The page of settings has each setting of server and gateway, and no other."""
    assert SETTINGS.keys() == {name.upper() for name in GatewaySettings.model_fields}


@pytest.mark.parametrize("name", SETTINGS)
def test_default_and_range_of_setting(name: str) -> None:
    """A setting is listed with its default, its range, and what it is of."""
    field = GatewaySettings.model_fields[name.lower()]

    assert SETTINGS[name][:3] == [_default(field), _range(field), concerns(name.lower())]


@pytest.mark.parametrize("route", http_routes(SERVICE), ids=lambda route: route.rpc.name)
def test_list_of_routes(route: HttpRoute) -> None:
    """The page of the API has the route of each RPC."""
    path = re.sub(r"_([a-z])", lambda found: found[1].upper(), route.path)

    assert f"| {route.rpc.name} | `{route.method} {path}` |" in CALLS


def test_list_of_errors() -> None:
    """The page of the client has the class of each reason."""
    listed = {
        reason: classes.partition("`")[2].partition("`")[0]
        for cells in tables(DOCS / "client.md")
        if len(cells) == 2
        for names, classes in [cells]
        for reason in names.split(", ")
        if reason in {*reasons.ErrorReason.keys()}
    }

    assert listed == {
        reasons.ErrorReason.Name(number): kind.__name__ for number, kind in BY_REASON.items()
    }


def test_list_of_tests_left_out() -> None:
    """The page of operations has each reason for which tests do not run inside Envoy."""
    page = (DOCS / "operations.md").read_text()
    section = page.partition("\n## Python inside Envoy\n")[2].partition("\n## ")[0]
    table = section.partition("| Reason |")[2].partition("\n\n")[0]

    assert {line.split(" | ")[0].strip("| ") for line in table.splitlines()[2:]} == LEFT_OUT


def test_reasons_of_tests_left_out() -> None:
    """No test is left out inside Envoy for a reason of its own."""
    found = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tests").rglob("*.py")
        if re.search(r"[s]kip(if)?\(.*(SERVE|inprocess)", path.read_text())
    }

    assert found == {"tests/support/servers.py"}
