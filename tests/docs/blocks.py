"""The fenced blocks of the Markdown pages, and the output that they show."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.docs.pages import PAGES, ROOT

_READMES = [ROOT / name / "README.md" for name in ("client", "examples", "protos")]
_FENCE = re.compile(r"^```(\w*)$")
_HEADING = re.compile(r"^#+ ")

# What stands on a page for a value of the reader's own: identifiers, times, and whatever has an
# ellipsis behind it or in its place.
_WILD = re.compile(
    r"(?P<id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
    r"|(?P<time>\d{4}-\d\d-\d\dT[\d:.]+Z)"
    r"|(?P<number>\d{1,3}(?:,\d{3})+)"
    r"|(?P<cut>[\w-]*…)"
)
_PATTERNS = {
    "id": r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "time": r"\d{4}-\d\d-\d\dT[\d:.]+Z",
    "number": r"[\d,]+",
    "cut": r".*?",
}


@dataclass(frozen=True)
class Block:
    """A fenced block, and where it is: the page, its heading, and the line."""

    page: str
    section: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @cached_property
    def transcript(self) -> list[tuple[str, str]]:
        """The commands of a `console` block, each with the output that it shows."""
        found: list[tuple[str, str]] = []
        continued = False
        for line in self.text.splitlines(keepends=True):
            if line.startswith("$ "):
                found.append((line[2:], ""))
            elif continued:
                found[-1] = (found[-1][0] + line, "")
            else:
                found[-1] = (found[-1][0], found[-1][1] + line)
            continued = line.endswith("\\\n") and not found[-1][1]
        return found


def _blocks(page: Path) -> Iterator[Block]:
    section, opened, language = "", 0, ""
    lines: list[str] = []
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if fence := _FENCE.match(line):
            if opened:
                text = "".join(f"{it}\n" for it in lines)
                yield Block(str(page.relative_to(ROOT)), section, opened, language, text)
                opened, lines = 0, []
            else:
                opened, language = number, fence[1]
        elif opened:
            lines.append(line)
        elif _HEADING.match(line):
            section = line.lstrip("# ")


BLOCKS = [block for page in sorted({*PAGES, *_READMES}) for block in _blocks(page)]


def is_shown(shown: str, printed: str) -> bool:
    """Tells whether an output is what a page shows of it, whatever its white space."""
    pattern = ""
    end = 0
    without_space = re.sub(r"\s+", "", shown)
    for wild in _WILD.finditer(without_space):
        pattern += re.escape(without_space[end : wild.start()])
        pattern += _PATTERNS[wild.lastgroup or ""]
        end = wild.end()
    pattern += re.escape(without_space[end:])
    return bool(re.search(pattern, re.sub(r"\s+", "", printed), re.DOTALL))
