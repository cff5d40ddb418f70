"""Makes the synchronous client of the asynchronous one: `make format` after a change of that.

The two differ in words, and in what each has of its own: `runtime.py`, and what that needs.
"""

import re
import subprocess
import sys
from pathlib import Path

_OWN = {"__init__.py", "runtime.py", "call_thread.py"}
_HEADING = "# Made of `aio/{}` by `make format`: change that.\n"

PACKAGE = Path(__file__).parents[1] / "client" / "twc_customer_client"

_WORDS = (
    (r"\basync (?=def|with|for)", ""),
    (r"\bawait ", ""),
    (r"\bAsyncio\b|\basyncio\b", "threads"),
    (r"\bgrpc\.aio\.", "grpc."),
    (r"\btwc_customer_client\.aio\b", "twc_customer_client.sync"),
    (r"\bCustomerServiceAsyncStub\b", "CustomerServiceStub"),
    (r"\bAsync(?=[A-Z])", ""),
    (r"\bAwaitable\[Answer\[Response\]\]", "Answer[Response]"),
    (r"Awaitable, ", ""),
    (r"\ba(next|iter|close)\(", r"\1("),
    (r"\baclosing\b", "closing"),
    (r"__a(enter|exit|iter|next)__", r"__\1__"),
    (r"\basynchronous\b", "synchronous"),
)


def main(check: str = "") -> int:
    """Writes the modules, or with `--check` names those that are out of date."""
    sources = {path.name: path for path in PACKAGE.joinpath("aio").glob("*.py")}
    targets = {path.name: path for path in PACKAGE.joinpath("sync").glob("*.py")}
    stale = sorted(targets.keys() - sources.keys() - _OWN)
    for name in sorted(sources.keys() - _OWN):
        made = made_of(sources[name])
        target = PACKAGE / "sync" / name
        if not check:
            target.write_text(made)
        elif name not in targets or target.read_text() != made:
            stale.append(name)
    if stale:
        print(f"out of date in sync/: {', '.join(stale)}; run `make format`", file=sys.stderr)
    return len(stale)


def made_of(source: Path) -> str:
    """Returns the synchronous form of a module, sorted and formatted."""
    text = source.read_text()
    for pattern, replacement in _WORDS:
        text = re.sub(pattern, replacement, text)
    text = _HEADING.format(source.name) + text
    target = PACKAGE / "sync" / source.name
    for command in (("check", "--fix-only", "--quiet"), ("format", "--quiet")):
        text = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--stdin-filename", str(target), "-"],
            input=text,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    return text


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
