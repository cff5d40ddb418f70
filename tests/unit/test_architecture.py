"""The rules of the house: which module may import what, how large it is, and its name."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVER, GATEWAY, CLIENT = "twc_customer_server", "twc_customer_gateway", "twc_customer_client"
PACKAGES = (f"server/{SERVER}/", f"gateway/{GATEWAY}/", f"client/{CLIENT}/")
MODULES = sorted(
    path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py")
)
MAX_LINES = 320


def _imports(module: Path) -> Iterator[str]:
    """The full names of all that a module imports, within functions too."""
    for node in ast.walk(ast.parse((ROOT / module).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _is_grpc(name: str) -> bool:
    return name.startswith("grpc") or any(part.endswith("_grpc") for part in name.split("."))


def _rooms(*names: str) -> list[Path]:
    """The modules of rooms of the server."""
    places = tuple(f"server/{SERVER}/{name}/" for name in names)
    found = [module for module in MODULES if str(module).startswith(places)]
    assert found, f"nothing is left at {places}"
    return found


def _of(*packages: str) -> list[Path]:
    return [module for module in MODULES if module.parts[1] in packages]


@pytest.mark.parametrize("module", _rooms("api", "customers", "storage"), ids=str)
def test_imports_of_grpc(module: Path) -> None:
    """Only middleware and transport know gRPC: the rest serves any transport."""
    assert [name for name in _imports(module) if _is_grpc(name)] == []


@pytest.mark.parametrize(
    "module", [each for each in MODULES if each not in _rooms("storage", "admin")], ids=str
)
def test_imports_of_peewee(module: Path) -> None:
    """No other module imports Peewee or a database driver."""
    roots = {name.partition(".")[0] for name in _imports(module)}

    assert roots & {"peewee", "playhouse", "sqlite3", "psycopg"} == set()


@pytest.mark.parametrize("module", _rooms("customers"), ids=str)
def test_imports_by_rules(module: Path) -> None:
    """Of the server, the rules know only its errors and each other."""
    known = (f"{SERVER}.errors", f"{SERVER}.customers")
    own = [name for name in _imports(module) if name.startswith((SERVER, GATEWAY))]

    assert [name for name in own if not name.startswith(known)] == []


@pytest.mark.parametrize("module", _rooms("storage"), ids=str)
def test_imports_by_storage(module: Path) -> None:
    """Storage imports neither the servicer nor what surrounds it."""
    above = tuple(f"{SERVER}.{room}" for room in ("admin", "api", "app", "middleware", "transport"))

    assert [name for name in _imports(module) if name.startswith((*above, GATEWAY))] == []


@pytest.mark.parametrize("module", _of(CLIENT), ids=str)
def test_imports_by_client(module: Path) -> None:
    """The command line imports neither server nor gateway: it is a client like any other."""
    assert [name for name in _imports(module) if name.startswith((SERVER, GATEWAY))] == []


@pytest.mark.parametrize("module", _of(SERVER, GATEWAY), ids=str)
def test_imports_of_client(module: Path) -> None:
    """Neither server nor gateway imports the command line."""
    assert [name for name in _imports(module) if name.startswith(CLIENT)] == []


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_length_of_module(module: Path) -> None:
    """A module is short enough to be read at once."""
    assert len((ROOT / module).read_text().splitlines()) <= MAX_LINES


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_name_of_module(module: Path) -> None:
    """No module has a name that would fit any content."""
    assert {part.rstrip("s") for part in module.with_suffix("").parts} & {
        "util",
        "helper",
        "manager",
        "common",
        "misc",
    } == set()
