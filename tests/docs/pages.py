"""The Markdown pages of the repository, and the files that they name."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

_FOLDERS = ("bench", "client", "deploy", "docs", "examples", "gateway", "protos", "server", "tests")

# A file of the repository in backticks, with a name that it defines: `path.py:name`, or as
# pytest has it, `path.py::name`. An ellipsis stands for the name of a package's folder.
_REFERENCE = re.compile(r"`([\w./…-]+\.(?:lua|proto|py|yaml))(?:::?([\w.]+))?`")


def tables(page: Path) -> Iterator[list[str]]:
    """Yields the cells of each table row of a page, without rules between them."""
    for line in page.read_text().splitlines():
        if line.startswith("|") and not line.startswith("|--"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def references(page: Path) -> list[tuple[str, str]]:
    """Returns the files that a page names, each with the name in it or an empty text."""
    return _REFERENCE.findall(page.read_text())


def resolve(reference: str) -> list[Path]:
    """Returns the files of the repository whose path ends as a reference does."""
    first, _, rest = reference.partition("/…/")
    parts = tuple((rest or first).split("/"))
    return [
        file
        for file in _files()
        if file.parts[-len(parts) :] == parts and (not rest or file.parts[0] == first)
    ]


def contains(folder: str) -> bool:
    """Tells whether the repository has files in a folder whose path ends so."""
    return any(f"/{folder}" in f"/{file}" for file in _files())


def defines(file: Path, name: str) -> bool:
    """Tells whether a Python module defines a function, class or variable of a dotted name."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found.issuperset(name.split("."))


@cache
def _files() -> list[Path]:
    inside = [path for folder in _FOLDERS for path in (ROOT / folder).rglob("*")]
    return [path.relative_to(ROOT) for path in (*ROOT.glob("*"), *inside) if path.is_file()]
