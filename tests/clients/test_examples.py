"""The programs in examples/ make their calls, and print what they got."""

import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.clients.foreign import BIN, BUILD, ROOT, run, skip_unless_installed
from tests.gateway.stacks import running
from tests.support.browser import chromium
from tests.support.client import SECONDS
from tests.support.tokens import token_for
from tools import contract
from twc_customer_gateway.supervisor.stack import Stack

JAVASCRIPT = ROOT / "examples" / "javascript"

# With the e-mail addresses and ids that are each run's own left out.
PRINTED = """\
created -1@example.com
created -2@example.com
created -3@example.com
found -1@example.com
ALREADY_EXISTS: another customer has the same email (customer …)
INVALID_INPUT: email: must be an e-mail address, such as ada@example.com; has no @
page: 2
page: 1
"""
_OWN = re.compile(r"ada-[\d-]+(?=-\d@)")
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples of JavaScript with what their README has users install and generate."""
    skip_unless_installed("connect.js")
    top = tmp_path_factory.mktemp("checkout")
    folder = top / "examples" / "javascript"
    shutil.copytree(JAVASCRIPT, folder)
    for name in ("node_modules", "gen"):
        folder.joinpath(name).symlink_to(BUILD / name)
    contract.write(top / "dist" / "contract")
    return folder


@pytest.fixture(scope="module")
def page_origin(folder: Path) -> Iterator[str]:
    """Where the page is, as `python3 -m http.server` serves it."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Writes nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def service(page_origin: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A service that the page may call."""
    database = {"data_dir": tmp_path_factory.mktemp("data")}
    with running(database, cors_origins=[page_origin]) as stack:
        yield stack


def _in_shell(folder: Path, service: Stack, tenant: str) -> str:
    address = f"http://127.0.0.1:{service.settings.gateway_port}"
    command = ["sh", str(ROOT / "examples" / "curl" / "customers.sh")]
    return run(command, folder, SERVICE=address, TENANT=tenant, TOKEN=token_for(tenant))


def _in_node(folder: Path, service: Stack, tenant: str) -> str:
    given = {"TENANT": tenant, "TOKEN": token_for(tenant)}
    command = [str(BIN / "node"), "grpc-js.js"]
    return run(command, folder, SERVICE=service.settings.native_address, **given)


PROGRAMS = {"curl": _in_shell, "grpc-js": _in_node}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_program(
    program: Callable[[Path, Stack, str], str], folder: Path, service: Stack, tenant: str
) -> None:
    """A program creates customers, finds one, reads errors and lists page by page."""
    assert _without_own(program(folder, service, tenant)) == PRINTED


def test_page(page_origin: str, service: Stack, tenant: str) -> None:
    """The same by a page, in a browser and of an origin of its own."""
    given = {
        "service": f"http://127.0.0.1:{service.settings.gateway_port}",
        "tenant": tenant,
        "token": token_for(tenant),
    }
    with chromium() as browser, browser.new_context() as context:
        page = context.new_page()
        page.goto(page_origin)
        for name, value in given.items():
            page.fill(f"[name={name}]", value)
        page.click("button")
        page.wait_for_function(
            "document.querySelector('output').textContent.match(/done|Error/)",
            timeout=SECONDS * 1000,
        )
        printed = page.text_content("output") or ""

    assert _without_own(printed) == f"{PRINTED}done\n"


def _without_own(printed: str) -> str:
    return _ID.sub("…", _OWN.sub("", printed))


def test_versions() -> None:
    """The examples have the versions of packages that the tests have."""
    tested = json.loads(Path(__file__).with_name("node").joinpath("package.json").read_text())
    given = json.loads((JAVASCRIPT / "package.json").read_text())

    assert given["dependencies"].items() <= tested["dependencies"].items()
