"""Fills in the templates of Envoy's configuration, the files of the folder `envoy`."""

import json
import re
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Template
from typing import Any

_TEMPLATES = Path(__file__).parent / "envoy"


def fill(name: str, variables: Mapping[str, str]) -> str:
    """Returns a template with its variables filled in, as each of their lines is indented."""

    def indented(line: re.Match[str]) -> str:
        return textwrap.indent(variables[line["name"]], line["indent"])

    alone = re.compile(r"^(?P<indent> *)\$\{(?P<name>\w+)\}$", re.MULTILINE)
    return Template(alone.sub(indented, _template(name))).substitute(variables)


def items(items: Iterable[dict[str, Any]]) -> str:
    """Returns the items of a list that has others, too; YAML takes them in one line each."""
    return "\n".join(f"- {json.dumps(item)}" for item in items)


def _template(name: str) -> str:
    """Returns a template with the files that it includes, indented as the line that names them."""

    def include(line: re.Match[str]) -> str:
        return textwrap.indent((_TEMPLATES / line["file"]).read_text(), line["indent"])

    including = re.compile(r"^(?P<indent> *)# include (?P<file>\S+)\n", re.MULTILINE)
    return including.sub(include, (_TEMPLATES / f"{name}.yaml").read_text())
