"""Tests of the border between the benchmark and the tests."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BENCH = sorted((ROOT / "bench").rglob("*.py"))
TESTS = sorted(
    path for path in (ROOT / "tests").rglob("*.py") if path.parent != ROOT / "tests" / "bench"
)


def _imported_packages(module: Path) -> Iterator[str]:
    """Yields the top-level packages that a module imports, within functions too."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def _id(module: Path) -> str:
    return str(module.relative_to(ROOT))


@pytest.mark.parametrize("module", BENCH, ids=_id)
def test_tests_imported_by_bench(module: Path) -> None:
    """The benchmark imports nothing of the tests."""
    assert "tests" not in set(_imported_packages(module))


@pytest.mark.parametrize("module", TESTS, ids=_id)
def test_bench_imported_by_tests(module: Path) -> None:
    """Tests of other parts import nothing of the benchmark."""
    assert "bench" not in set(_imported_packages(module))
