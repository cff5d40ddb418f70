"""Every block of the pages is run as a reader pastes it, in a fresh checkout with its service."""

import itertools
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.clients.foreign import skip_unless_installed
from tests.docs import readers
from tests.docs.blocks import BLOCKS, Block, is_shown
from tests.docs.checkout import LANGUAGES, Checkout
from tests.docs.readers import DATABASE_URL, Own, Reader
from tests.support import isolation
from tests.support import postgres as postgres_server
from tests.support.certificates import Authority
from tests.support.postgres import Server
from tests.support.programs import program

# Hosts of the examples, all of which are this machine.
HOSTS = ("api.example.com", "db.example.com", "login.example.com")

# Programs that pages name, and the packages of Debian that have them.
PROGRAMS = {"curl": "curl", "make": "make", "promtool": "prometheus", "sqlite3": "sqlite3"}

# Blocks, by their page and a text in them, that cannot be run here, and why.
NOT_RUN = {
    ("CONTRIBUTING.md", "make coverage"): "CI runs these, and this test is one of them",
    ("README.md", "make test-unit"): "CI runs these, and this test is one of them",
    ("docs/apart.md", "twc_customer_server serve"): "tests/gateway/test_apart.py runs it",
    ("docs/apart.md", "export UPSTREAMS"): "tests/gateway/test_apart.py runs it",
    ("docs/apart.md", "docker run"): "needs Docker; tests/gateway/test_plain.py runs Envoy",
    ("docs/apart.md", "/dev/tcp"): "needs an Envoy; tests/gateway/test_plain.py asks the same",
    ("docs/operations.md", "distribute --shards"): "needs a cluster of Citus",
    ("docs/databases.md", "DATABASE_READ_URLS"): "tests/reliability/test_replicas.py runs it",
    ("docs/deploy.md", "docker compose"): "needs Docker; tests/deploy checks what it reads",
    ("docs/deploy.md", "export IMAGES"): "needs a cluster; tests/deploy checks what is applied",
    ("docs/deploy.md", "delete job"): "needs a cluster; tests/deploy checks what is applied",
    ("docs/deploy.md", "podman run"): "tests/deploy/test_images.py builds and runs the images",
    ("docs/deploy.md", "TWC_WORKERS"): "needs systemd; tests/deploy checks the units",
    ("docs/deploy.md", "TWC_UPSTREAM_CLIENT_CA"): "needs systemd; tests/deploy checks the units",
    ("docs/deploy.md", "TWC_UPSTREAMS"): "needs systemd; tests/deploy checks the units",
    ("docs/deploy.md", "useradd"): "makes a user of the machine",
}

# What must be there before a block is run, if that is more than a service without customers.
PREPARED: dict[tuple[str, str], Callable[[Reader], Own]] = {
    ("CONTRIBUTING.md", "test_create.py"): readers.stopped,
    ("README.md", "$ make run"): readers.stopped,
    ("README.md", "search?email=ada@example.com' \\"): readers.named_ada,
    ("README.md", "$ .venv/bin/buf curl"): readers.named_ada,
    ("README.md", "make run WORKERS=4"): readers.with_postgres,
    ("README.md", "--mapping shopify"): readers.spreadsheet,
    ("client/README.md", "customers.csv"): readers.own_spreadsheet,
    ("docs/api.md", "/merge"): readers.two,
    ("docs/api.md", "/changes"): readers.changed,
    ("docs/api.md", "filter="): readers.many,
    ("docs/authentication.md", "/realms/"): readers.stopped,
    ("docs/authentication.md", "TENANT_CLAIM"): readers.stopped,
    ("docs/client.md", "--mapping shopify"): readers.spreadsheet,
    ("docs/client.md", "pip install"): readers.wheels,
    ("docs/client.md", "twc-customers create"): readers.token,
    ("docs/client.md", "--cursor-file"): readers.token_and_ada,
    ("docs/client.md", "consistency="): readers.named_ada,
    ("docs/client.md", "asyncio.run(main())"): readers.many,
    ("docs/client.md", "pb2.LookupCustomersRequest"): readers.named_ada,
    ("docs/clients.md", "@grpc/proto-loader"): readers.contract,
    ("docs/databases.md", "createdb"): readers.no_database,
    ("docs/databases.md", "make copy"): readers.with_postgres,
    ("docs/operations.md", "make run WORKERS=2"): readers.stopped,
    ("docs/operations.md", "createuser twc"): readers.no_role,
    ("docs/operations.md", "make copy"): readers.with_postgres,
    ("docs/operations.md", "OTEL_EXPORTER"): readers.stopped,
    ("docs/operations.md", "make backup"): readers.backups,
    ("docs/operations.md", "make restore"): readers.backed_up,
    ("docs/operations.md", "pg_dump"): readers.full_postgres,
    ("docs/operations.md", "pg_restore"): readers.dumped,
    ("docs/operations.md", " access acme"): readers.deleted,
    ("docs/operations.md", "twc-customers erase"): readers.token_and_ada,
    ("examples/README.md", "npm install"): readers.packages,
}

# Blocks that are no commands, and what holds of them.
CHECKED: dict[tuple[str, str], Callable[[Reader, Block], None]] = {
    ("README.md", '{"code":6'): readers.is_answer,
    ("docs/client.md", "customers.follow("): readers.is_feed,
    ("docs/client.md", "errors.InvalidCustomer"): readers.is_refused,
    ("docs/client.md", "import_customers(everybody)"): readers.is_import,
    ("docs/databases.md", "ALTER TABLE customer"): readers.is_statement,
    ("docs/databases.md", "SELECT pg_table_size"): readers.is_statement,
    ("docs/errors.md", '{"code": 3'): readers.is_answer,
    ("docs/operations.md", "scrape_configs"): readers.is_configuration,
    ("docs/operations.md", "ALTER SYSTEM"): readers.is_statement,
    ("docs/settings.md", "default_regions"): readers.is_settings,
}

# What the reader types when asked.
TYPED = {("docs/operations.md", "twc-customers erase"): "y\n"}

# What the reader's shell has.
EXPORTED = {
    ("docs/apart.md", "config envoy"): {"UPSTREAMS": "api.example.com:50052"},
    # The tests themselves are run without this.
    ("CONTRIBUTING.md", "test_create.py"): {"PYTEST_ADDOPTS": "--collect-only"},
    ("docs/operations.md", " access acme"): {"DEVELOPMENT": "true"},
    ("docs/operations.md", "pg_dump"): {"DATABASE_URL": DATABASE_URL},
    ("docs/operations.md", "pg_restore"): {"DATABASE_URL": DATABASE_URL},
    ("docs/operations.md", "sqlite3 "): {"DATA_DIR": "data"},
    ("docs/client.md", "pip install"): {"PIP_NO_DEPS": "1", "PIP_TARGET": "installed"},
    # All packages are there.
    ("examples/README.md", "npm install"): {"npm_config_offline": "true"},
}

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

Key = tuple[str, str]
Entry = TypeVar("Entry")


def _entry(table: Mapping[Key, Entry], block: Block) -> Entry | None:
    for (page, text), entry in table.items():
        if page == block.page and text in block.text:
            return entry
    return None


def _is_alone(block: Block) -> bool:
    return _entry(PREPARED, block) in readers.WITHOUT_SERVICE


# Those that need a service before those for which it is stopped.
RUN = sorted((block for block in BLOCKS if not _entry(NOT_RUN, block)), key=_is_alone)


@pytest.fixture(scope="module")
def postgres() -> Iterator[Callable[[], Server]]:
    """Starts a PostgreSQL for this module alone, when it is asked for."""
    with ExitStack() as stack:
        yield cache(lambda: stack.enter_context(postgres_server.own()))


@pytest.fixture(scope="module")
def reader(
    tmp_path_factory: pytest.TempPathFactory, postgres: Callable[[], Server]
) -> Iterator[Reader]:
    """Who has cloned the repository, on a machine with the hosts that pages name."""
    skip_unless_installed("with_grpcurl")
    isolation.require()
    for name, package in PROGRAMS.items():
        program(name, package)
    place = tmp_path_factory.mktemp("reader")
    mounts = {"/etc/hosts": place / "hosts", "/etc/ssl": place / "ssl"}
    names = " ".join(("localhost", *HOSTS))
    mounts["/etc/hosts"].write_text(f"127.0.0.1 {names}\n")
    # What is private is for root alone.
    ignored = shutil.ignore_patterns("private")
    shutil.copytree("/etc/ssl", place / "ssl", symlinks=True, ignore=ignored)
    _certify(place / "ssl")
    sockets = place / "postgres"
    with isolation.Isolation(mounts, {5432: sockets}) as isolated:
        checkout = Checkout(place, isolated)

        def start() -> Server:
            server = postgres()
            if not sockets.exists():
                folder = conninfo_to_dict(server.url)["host"]
                sockets.symlink_to(Path(str(folder)) / ".s.PGSQL.5432")
                checkout.environment |= {"PGHOST": str(folder), "PGUSER": "postgres"}
            return server

        yield Reader(checkout, start)
        checkout.stop()


def _certify(folder: Path) -> None:
    """Writes the files of TLS that pages name."""
    authority = Authority(folder, "ca")
    pair = authority.issue(HOSTS[0])
    pair.certificate.rename(folder / "api.pem")
    pair.key.rename(folder / "api.key")


@pytest.mark.parametrize("block", RUN, ids=str)
def test_block(block: Block, reader: Reader) -> None:
    """A block does what its page says, and prints what that shows."""
    checkout = reader.checkout
    checkout.forget_shell()
    if not _is_alone(block):
        checkout.serve()
        checkout.forget_customers()
    if check := _entry(CHECKED, block):
        check(reader, block)
        return
    prepare = _entry(PREPARED, block) or readers.nothing
    typed = _entry(TYPED, block) or ""
    own = prepare(reader)
    checkout.forget_shell()
    try:
        ended = checkout.paste(block, own, typed, _entry(EXPORTED, block) or {})
    finally:
        if "make run" in block.text:
            # It has settings of its own.
            checkout.stop()

    printed = "".join(each.printed for each in ended)
    assert not any(each.status for each in ended), printed
    if block.language == "console":
        for (_, shown), each in zip(block.transcript, ended, strict=True):
            assert is_shown(shown.replace(typed, "", 1), each.printed), each.printed
    if "customer.id" in block.text:
        assert _ID.search(printed)


@pytest.mark.parametrize(
    ("shown", "printed", "expected"),
    [
        ('{"a":1}', '{"a": 1}\n', True),
        ('{"a":1}', '{"a":2}', False),
        ('{"a":1,…}', '{"a":1,"b":2}', True),
        ('{…,"c":3}', '{"a":1,"b":2}', False),
        ("key 38b4aa1a…)", "key 99ff)", True),
        ("of 100,000 rows", "of 3 rows", True),
        ("of 100,000 rows", "of no rows", False),
        (
            "id 01a2170c-edf1-7080-83b7-a7c771031e15",
            "id 01a219e2-5495-76b5-a58b-2b7a458abe1c",
            True,
        ),
        ("id 01a2170c-edf1-7080-83b7-a7c771031e15", "id none", False),
        ("at 2026-05-28T10:00:00.000Z", "at 2027-01-01T00:00:00Z", True),
        ("at 2026-05-28T10:00:00.000Z", "at noon", False),
    ],
)
def test_is_shown(shown: str, printed: str, *, expected: bool) -> None:
    """A page shows an output with values of its own, and leaves out what an ellipsis stands for."""
    assert is_shown(shown, printed) == expected


def test_tables() -> None:
    """Each entry of the tables is of one block, which is run, checked, or not run for a reason."""
    tables: list[dict[Key, Any]] = [NOT_RUN, PREPARED, CHECKED, TYPED, EXPORTED]
    for page, text in itertools.chain(*tables):
        found = [block for block in BLOCKS if block.page == page and text in block.text]
        assert len(found) == 1, (page, text)
    assert NOT_RUN.keys().isdisjoint(PREPARED | CHECKED)


def test_languages() -> None:
    """Every block is of a language that is run as pasted, or there is a check of it."""
    unknown = [
        str(block)
        for block in RUN
        if block.language not in LANGUAGES and not _entry(CHECKED, block)
    ]

    assert unknown == []
