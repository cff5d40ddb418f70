"""Replaces a part of a document that a program writes, between two comments."""

from pathlib import Path


def replace_part(document: Path, name: str, text: str) -> None:
    """Replaces what is between the comments `name` and `end of name`. Raises ValueError."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    before, has_begin, rest = document.read_text("utf-8").partition(begin)
    _, has_end, after = rest.partition(end)
    if not (has_begin and has_end):
        raise ValueError(f"{document} has no part {name}")
    document.write_text(f"{before}{begin}{text}{end}{after}", "utf-8")
