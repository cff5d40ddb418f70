"""The page to try the API on, in a real browser: Chromium, which CI must have."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any

import httpx
import pytest
from openapi.samples import ORIGIN
from playwright.sync_api import Browser, ConsoleMessage, Page, Request

from tests.gateway.stacks import running
from tests.support.browser import chromium
from tests.support.http_client import http_client

DOCUMENT = json.loads(resources.files("twc.customer.v2").joinpath("openapi.json").read_text())
SAMPLES = {
    operation["operationId"]: sample["source"]
    for methods in DOCUMENT["paths"].values()
    for operation in methods.values()
    for sample in operation["x-codeSamples"]
    if sample["label"] == "JavaScript"
}
CREATE, GET = "#operations-customers-createCustomer", "#operations-customers-getCustomer"
STATUS, BODY = (
    ".live-responses-table .response .response-col_status",
    ".live-responses-table .microlight",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium without a window."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def other_origin() -> Iterator[str]:
    """The origin of another page, which is empty."""

    class Empty(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Writes nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Empty) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def origin(other_origin: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The origin of a service in development mode."""
    settings: dict[str, Any] = {"development": True, "issuer": None, "jwks": None}
    folder = {"data_dir": tmp_path_factory.mktemp("data")}
    with running(folder, **settings, cors_origins=[other_origin]) as stack:
        yield f"http://127.0.0.1:{stack.settings.gateway_port}"


@pytest.fixture
def page(browser: Browser, origin: str) -> Iterator[Page]:
    """A tab, which may load nothing from elsewhere and whose console stays without errors."""
    wrong: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            wrong.append(message.text)

    def on_request(request: Request) -> None:
        if not request.url.startswith((f"{origin}/", "data:")):
            wrong.append(request.url)

    with browser.new_context() as context:
        page = context.new_page()
        page.on("console", on_console)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", on_request)
        yield page
    assert wrong == []


@pytest.fixture
def token(origin: str) -> Iterator[str]:
    """The token that the page has."""
    with http_client(base_url=origin) as anyone:
        yield anyone.get("/docs/development.json").json()["token"]


def call(page: Page, operation: str, **values: str) -> tuple[str, Any]:
    """Makes a call through the page, which shows its operation, and returns status and answer."""
    for name, value in values.items():
        page.fill(f"{operation} [data-param-name={name}] input", value)
    page.click(f"{operation} .execute")
    status = page.text_content(f"{operation} {STATUS}") or ""
    return status.strip(), json.loads(page.text_content(f"{operation} {BODY}") or "")


def test_calls(page: Page, origin: str) -> None:
    """Two clicks create the customer of the example, who is read back."""
    page.goto(f"{origin}/")
    page.click(f"{CREATE} .opblock-summary-control")
    status, created = call(page, CREATE)
    assert (status[:3], created["email"]) == ("201", "ada@example.com")
    page.click(f"{GET} .opblock-summary-control")
    status, read = call(page, GET, id=created["id"])
    assert (status[:3], read) == ("200", created)


def test_samples(page: Page, origin: str) -> None:
    """Each operation has samples, which name this service."""
    page.goto(f"{origin}/docs#/customers/lookupCustomer")
    samples = page.locator("#operations-customers-lookupCustomer .samples")
    samples.wait_for()
    shown = {}
    for tab in samples.locator("[role=tab]").all():
        tab.click()
        shown[tab.text_content()] = samples.locator("pre").text_content() or ""
    assert list(shown) == ["curl", "Python", "JavaScript", "grpcurl"]
    host = httpx.URL(origin).netloc.decode()
    assert all(host in source and "api.example.com" not in source for source in shown.values())
    assert shown["grpcurl"].startswith("grpcurl -plaintext ")


def test_appearance(page: Page, origin: str) -> None:
    """The page has the colours of the reader's system, and fits a telephone's window as well."""
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 1280, "height": 844})
    page.goto(f"{origin}/docs#/customers/createCustomer")
    page.wait_for_selector(f"{CREATE} .samples")
    assert _appearance(page) == ("rgb(28, 32, 34)", 1280)
    # Readers change both while they read; to load the page again takes long.
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 390, "height": 844})
    assert _appearance(page) == ("rgb(255, 255, 255)", 390)


def _appearance(page: Page) -> tuple[str, int]:
    """The colour behind the page, and its width."""
    colour = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    return colour, page.evaluate("document.documentElement.scrollWidth")


def test_javascript_samples(browser: Browser, origin: str, other_origin: str, token: str) -> None:
    """The samples in JavaScript run in a page of an origin that may call."""
    script = """async ([source, token]) => {
        const run = Object.getPrototypeOf(async () => {}).constructor;
        try { await run("token", source)(token); return null; }
        catch (error) { return error.message; }
    }"""
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(other_origin)
        for source in SAMPLES.values():
            error = page.evaluate(script, [source.replace(ORIGIN, origin), token])
            # Customers that are not there, or twice.
            missing = error and ("no such" in error or "Unexpected end of JSON" in error)
            assert error is None or missing or json.loads(error)["code"] in {5, 6}


def test_error_for_other_origin(browser: Browser, origin: str, other_origin: str) -> None:
    """A page of an origin that may call reads errors, of the gateway and of the server."""
    script = """async ([url, headers]) => {
        const response = await fetch(url, {headers});
        return [response.status, await response.json(), response.headers.get("x-request-id")];
    }"""
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(other_origin)
        for headers in ({}, {"authorization": "Bearer x", "x-twc-tenant": "acme"}):
            url = f"{origin}/api/v2/customers/search?email=x"
            status, body, request_id = page.evaluate(script, [url, headers])
            assert (status, body["code"]) == (401, 16)
            assert request_id
