"""The rules of the house: which module may import what, how large it is, and its name."""

import ast
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SERVER, GATEWAY, CLIENT = "twc_customer_server", "twc_customer_gateway", "twc_customer_client"
PACKAGES = (f"server/{SERVER}/", f"gateway/{GATEWAY}/", f"client/{CLIENT}/")
MODULES = sorted(
    path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py")
)
# The modules and rooms of the client that are the command line; the others are the library.
COMMAND_LINE = {
    *("__main__", "cli", "command_errors", "commands", "exporting", "files", "formats"),
    *("importing", "next_steps", "options", "progress", "waiting"),
}
MAX_LINES = 320


@cache
def _imports(module: Path) -> list[str]:
    """The full names of all that a module imports, within functions too."""
    names: list[str] = []
    for node in ast.walk(ast.parse((ROOT / module).read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def _imported(modules: Iterable[Path], is_wrong: Callable[[str], bool]) -> dict[Path, list[str]]:
    """What modules import and may not, by module."""
    found = {module: [name for name in _imports(module) if is_wrong(name)] for module in modules}
    assert found, "there are no such modules"
    return {module: names for module, names in found.items() if names}


def _rooms(*names: str) -> list[Path]:
    """The modules of rooms of the server."""
    places = tuple(f"server/{SERVER}/{name}/" for name in names)
    return [module for module in MODULES if str(module).startswith(places)]


def _of(*packages: str) -> list[Path]:
    return [module for module in MODULES if module.parts[1] in packages]


def test_imports_of_grpc() -> None:
    """Only middleware and transport know gRPC: the rest serves any transport."""

    def is_grpc(name: str) -> bool:
        return name.startswith("grpc") or any(part.endswith("_grpc") for part in name.split("."))

    assert _imported(_rooms("api", "customers", "storage"), is_grpc) == {}


def test_imports_of_peewee() -> None:
    """No module but those of storage and administration imports Peewee or a database driver."""
    drivers = {"peewee", "playhouse", "sqlite3", "psycopg"}
    others = [each for each in MODULES if each not in _rooms("storage", "admin")]

    assert _imported(others, lambda name: name.partition(".")[0] in drivers) == {}


def test_imports_of_rules() -> None:
    """Of the server, the rules know only its errors and each other."""
    known = (f"{SERVER}.errors", f"{SERVER}.customers")

    assert (
        _imported(
            _rooms("customers"),
            lambda name: name.startswith((SERVER, GATEWAY)) and not name.startswith(known),
        )
        == {}
    )


def test_imports_of_storage() -> None:
    """Storage imports neither the servicer nor what surrounds it."""
    above = tuple(f"{SERVER}.{room}" for room in ("admin", "api", "app", "middleware", "transport"))

    assert _imported(_rooms("storage"), lambda name: name.startswith((*above, GATEWAY))) == {}


def test_imports_of_client() -> None:
    """The client imports neither server nor gateway: it is a client like any other."""
    assert _imported(_of(CLIENT), lambda name: name.startswith((SERVER, GATEWAY))) == {}


def test_imports_of_library() -> None:
    """The library imports nothing of the command line, nor the packages that only that needs."""
    library = [each for each in _of(CLIENT) if Path(each.parts[2]).stem not in COMMAND_LINE]

    def is_of_command_line(name: str) -> bool:
        package, *inside = name.split(".")
        return package in {"click", "ijson", "rich"} or (
            package == CLIENT and bool(COMMAND_LINE & {*inside[:1]})
        )

    assert _imported(library, is_of_command_line) == {}


def test_imports_of_service() -> None:
    """Neither server nor gateway imports the client."""
    assert _imported(_of(SERVER, GATEWAY), lambda name: name.startswith(CLIENT)) == {}


def test_module_length() -> None:
    """A module is short enough to be read at once."""
    lengths = {module: len((ROOT / module).read_text().splitlines()) for module in MODULES}

    assert {module: lines for module, lines in lengths.items() if lines > MAX_LINES} == {}


def test_module_name() -> None:
    """No module has a name that would fit any content."""
    empty = {"util", "helper", "manager", "common", "misc"}

    assert [
        module
        for module in MODULES
        if empty & {part.rstrip("s") for part in module.with_suffix("").parts}
    ] == []
