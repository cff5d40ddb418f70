"""The copy of the settings file that workers read keeps what cannot change."""

import tomllib
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from twc_customer_gateway import renewing

_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_VALUES: st.SearchStrategy[Any] = st.one_of(
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=False, allow_infinity=False),
    _TEXTS,
    st.lists(_TEXTS, max_size=3),
    st.dictionaries(_TEXTS, _TEXTS, max_size=3),
)


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,10}", fullmatch=True), _VALUES, max_size=5))
def test_literals(values: dict[str, Any]) -> None:
    """Every value of a file can be written so that it is read as it was."""
    lines = (f"{name} = {renewing._literal(value)}\n" for name, value in values.items())  # noqa: SLF001
    assert tomllib.loads("".join(lines)) == values


def test_copy(tmp_path: Path) -> None:
    """What changes takes its place, what is left out goes, and all else stays."""
    file = tmp_path / "settings.toml"
    running = {"threads": 4, "log_level": "INFO", "default_regions": {"*": "CH"}}
    changed = {"log_level": None, "cors_origins": ["https://a.example"]}
    renewing._write(file, running, changed)  # noqa: SLF001
    assert tomllib.loads(file.read_text()) == {
        "threads": 4,
        "default_regions": {"*": "CH"},
        "cors_origins": ["https://a.example"],
    }
