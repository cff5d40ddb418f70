"""Pages lead to what is there: files, functions, headings and commands."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, contains, defines, references, resolve

PICTURE = ROOT / "docs" / "request.svg"
MAX_README_WORDS = 1200

_LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_LABEL = re.compile(r'<text class="(?:file|folder)"[^>]*>([^<]+)<')
_MAKE = re.compile(r"\bmake (?:-s )?([a-z]+(?:-[a-z]+)*)\b")


def _anchors(page: Path) -> set[str]:
    """Returns the anchors of a page's headings, as GitHub makes them."""
    headings = _HEADING.findall(page.read_text())
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links(page: Path) -> None:
    """Every relative link names a file that exists, and a heading in it."""
    broken = []
    for path, anchor in _LINK.findall(page.read_text()):
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(f"{path}#{anchor}")

    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_named_on_pages(page: Path) -> None:
    """Every file that a page names is in the repository, and defines what the page names in it."""
    missing = [
        f"{path}:{name}"
        for path, name in references(page)
        if not any(not name or defines(file, name) for file in resolve(path))
    ]

    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_on_pages(page: Path) -> None:
    """Every `make` command on a page is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    code = re.findall(r"`make [^`]*`|^(?:\$ )?make .*$", page.read_text(), re.MULTILINE)

    assert {name for line in code for name in _MAKE.findall(line)} - targets == set()


def _labels() -> Iterator[str]:
    """Yields the files and folders in the picture; of several, the first has the folder."""
    for labels in _LABEL.findall(PICTURE.read_text()):
        first, *others = labels.split(", ")
        yield first
        yield from (f"{first.rpartition('/')[0]}/{other}" for other in others)


@pytest.mark.parametrize("label", [*_labels()])
def test_paths_in_picture(label: str) -> None:
    """Every file and folder in the picture of a request is in the repository."""
    assert contains(label) if label.endswith("/") else resolve(label)


def test_length_of_readme() -> None:
    """The README is an introduction; the reference is in docs/."""
    assert len((ROOT / "README.md").read_text().split()) < MAX_README_WORDS
