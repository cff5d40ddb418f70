"""Who reads which block: what must be there before, and what of it is the reader's own."""

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tests.docs.blocks import Block, is_shown
from tests.docs.checkout import CLIENTS, Checkout
from tests.support.postgres import Server

Own = Mapping[str, str]

NOTHING: Own = {}

DATABASE_URL = "postgresql://twc@db.example.com:5432/customers"

_CREATE = """curl -s http://127.0.0.1:8080/api/v2/customers -H "Authorization: Bearer $TOKEN" \\
  -H 'X-TWC-Tenant: acme' -H 'Content-Type: application/json'"""
_CHANGES = """curl -sG http://127.0.0.1:8080/api/v2/customers/changes \\
  -H "Authorization: Bearer $TOKEN" -H 'X-TWC-Tenant: acme'"""
# Ids that stand on pages.
_ADA = "01a2170c-edf1-7080-83b7-a7c771031e15"
_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_KEPT, _DROPPED = "01a2194f-158d-717f-a275-5251eb7cee95", "01a2194f-15b0-7675-b925-f4f90287c82a"


class Reader(NamedTuple):
    """Someone with a checkout, and with a database of PostgreSQL when they ask for it."""

    checkout: Checkout
    postgres: Callable[[], Server]

    def run(self, text: str, given: str = "", **environment: str) -> str:
        """Runs a command that must succeed, and returns what it prints."""
        ended = self.checkout.run(text, given, **environment)
        assert ended.status == 0, ended.printed
        return ended.printed

    def create(self, options: str = "", **customer: Any) -> dict[str, Any]:
        """Creates a customer of the running service, and returns the answer."""
        printed = self.run(f"{_CREATE} {options} -d '{json.dumps(customer)}'")
        answer: dict[str, Any] = json.loads(printed)
        return answer

    def database(self) -> None:
        """Makes the role and the database of PostgreSQL that pages name, empty."""
        server = self.postgres()
        server.execute("DROP DATABASE IF EXISTS customers WITH (FORCE)")
        server.execute("DROP DATABASE IF EXISTS restored WITH (FORCE)")
        server.execute("DROP ROLE IF EXISTS twc")
        server.execute("CREATE ROLE twc LOGIN CREATEDB")
        server.execute("CREATE DATABASE customers OWNER twc")


def nothing(_: Reader) -> Own:
    """Leaves all as it is."""
    return NOTHING


def ada(reader: Reader) -> Own:
    """Creates Ada, and removes all others."""
    reader.checkout.forget_customers()
    return {_ADA: reader.create(email="ada@example.com", firstName="Ada")["id"]}


def named_ada(reader: Reader) -> Own:
    """Does the same for a block that does not name her id."""
    ada(reader)
    return NOTHING


def many(reader: Reader) -> Own:
    """Creates customers for more than a page."""
    customers = [
        {"email": f"{number}@example.com", "lastName": "Müller", "customer_state": "enabled"}
        for number in range(21)
    ]
    upload = _CREATE.replace("customers", "upload-customers")
    assert reader.run(f"{upload} -d @-", json.dumps(customers)).count("Müller") == len(customers)
    return NOTHING


def two(reader: Reader) -> Own:
    """Creates one person twice."""
    reader.checkout.forget_customers()
    kept = reader.create(email="ada@example.com", firstName="Ada", mobile="+4915112345678")
    dropped = reader.create(email="ada.lovelace@example.com", lastName="Lovelace")
    return {_KEPT: kept["id"], _DROPPED: dropped["id"]}


def changed(reader: Reader) -> Own:
    """Creates one customer and deletes another one, both after a cursor."""
    gone = reader.create(email="gone@example.com")["id"]
    cursor = ""
    while True:
        answer = json.loads(reader.run(_CHANGES + cursor))
        if not answer.get("changes"):
            break
        cursor = f" -d cursor={answer['nextCursor']}"
    reader.create(email="new@example.com")
    # Who reads changes numbers those that were not read yet.
    reader.run(_CHANGES + cursor)
    _delete(reader, gone)
    return {" -d cursor=vEMiY-zjjwmA9snCgS1Fb2NhZmUgNyAw…": cursor}


def deleted(reader: Reader) -> Own:
    """Creates Ada with an idempotency key, and deletes her."""
    reader.checkout.forget_customers()
    created = reader.create("-H 'Idempotency-Key: order-4711'", email="ada@example.com")
    _delete(reader, created["id"])
    return NOTHING


def _delete(reader: Reader, customer_id: str) -> None:
    reader.run(f"{_CREATE.replace('customers', f'customers/{customer_id}')} -X DELETE")


def token(_: Reader) -> Own:
    """Gives the reader's own token."""
    return {"TWC_TOKEN=…": "TWC_TOKEN=$TOKEN"}


def token_and_ada(reader: Reader) -> Own:
    """Creates Ada, and gives the reader's own token."""
    return {**token(reader), **ada(reader)}


def spreadsheet(reader: Reader) -> Own:
    """Writes an export of Shopify to import."""
    reader.checkout.folder.joinpath("customers.csv").write_text(
        "Customer ID,First Name,Email,Accepts Email Marketing\n1,Ada,ada@example.com,yes\n"
    )
    return NOTHING


def own_spreadsheet(reader: Reader) -> Own:
    """Writes a file of customers to import."""
    reader.checkout.folder.joinpath("customers.csv").write_text("email\nada@example.com\n")
    return {"TWC_TOKEN=...": "TWC_TOKEN=$TOKEN"}


def stopped(reader: Reader) -> Own:
    """Stops the service."""
    reader.checkout.stop()
    return NOTHING


def with_postgres(reader: Reader) -> Own:
    """Stops the service, and makes an empty database of PostgreSQL."""
    reader.database()
    return stopped(reader)


def no_database(reader: Reader) -> Own:
    """Stops the service, and starts a PostgreSQL without its database."""
    reader.database()
    reader.postgres().execute("DROP DATABASE customers")
    return stopped(reader)


def no_role(reader: Reader) -> Own:
    """Stops the service, and starts a PostgreSQL without its role and its database."""
    no_database(reader)
    reader.postgres().execute("DROP ROLE twc")
    return NOTHING


def full_postgres(reader: Reader) -> Own:
    """Makes a database of PostgreSQL with all tables."""
    reader.database()
    reader.run("make migrate", DATABASE_URL=DATABASE_URL)
    return NOTHING


def dumped(reader: Reader) -> Own:
    """Backs up a database of PostgreSQL."""
    full_postgres(reader)
    reader.run(f"pg_dump --format=custom --file=today.dump {DATABASE_URL}")
    return NOTHING


def backups(reader: Reader) -> Own:
    """Makes a folder for backups."""
    folder = reader.checkout.place / "backups"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return {"/backups": str(folder)}


def backed_up(reader: Reader) -> Own:
    """Stops the service, and backs up its database."""
    own = backups(reader)
    reader.checkout.stop()
    reader.run("make migrate")
    reader.run(f"make backup FILE={own['/backups']}/today.db")
    return own


def wheels(reader: Reader) -> Own:
    """Builds the wheels of contract and client into dist/."""
    reader.run(
        "pip wheel --quiet --no-build-isolation --no-deps --wheel-dir dist "
        "build/contract/*.whl ./client"
    )
    return NOTHING


def contract(reader: Reader) -> Own:
    """Writes the files of the contract."""
    reader.run("make contract")
    return NOTHING


def packages(reader: Reader) -> Own:
    """Links the packages of JavaScript, in place of those of a registry."""
    folder = reader.checkout.folder / "examples" / "javascript" / "node_modules"
    shutil.copytree(CLIENTS / "node_modules", folder, symlinks=True, copy_function=os.link)
    return NOTHING


# Before blocks of these no service is started.
WITHOUT_SERVICE: set[object] = {stopped, with_postgres, no_database, no_role, backed_up, wheels}


# Checks of blocks that are no commands.


def is_answer(reader: Reader, block: Block) -> None:
    """Checks that a customer who is invalid, or there already, has the answer of the block."""
    ada(reader)
    email = "ada@example.com" if "ALREADY_EXISTS" in block.text else "ada"
    answer = json.dumps(reader.create(email=email), separators=(",", ":"))
    assert is_shown(block.text, answer), answer


def is_feed(reader: Reader, block: Block) -> None:
    """Checks that a program, which does not end, prints a customer, and the cursor behind it."""
    ada(reader)
    reader.checkout.folder.joinpath("feed.py").write_text(block.text)
    printed = reader.run(
        "python feed.py > feed.txt 2>&1 &\n"
        "until grep -q next: feed.txt; do kill -0 $!; sleep 0.05; done\n"
        "kill $!; cat feed.txt",
        TWC_TOKEN=reader.checkout.environment["TOKEN"],
    )
    assert re.fullmatch(rf"{_ID} next: \S+\n", printed)


def is_refused(reader: Reader, block: Block) -> None:
    """Checks that a program prints the fields that are wrong, and what would be right."""
    [ended] = reader.checkout.paste(block, NOTHING, "", NOTHING)
    assert re.fullmatch(r"email must be .*\nmobile needs .*\n", ended.printed)


def is_import(reader: Reader, block: Block) -> None:
    """Checks that a program stores its customers, and counts them."""
    [ended] = reader.checkout.paste(block, NOTHING, "", NOTHING)
    assert ended.printed == "1000 customers\n"


def is_configuration(reader: Reader, block: Block) -> None:
    """Checks that Prometheus takes the configuration."""
    file = reader.checkout.folder / "prometheus.yaml"
    file.write_text(block.text)
    reader.run(f"promtool check config {file}")


def is_settings(reader: Reader, block: Block) -> None:
    """Checks that the settings are taken from a file of the block."""
    file = reader.checkout.folder / "settings.toml"
    file.write_text(block.text)
    printed = reader.run("make settings")
    file.unlink()
    assert printed.count("settings.toml") == len(block.text.splitlines())


def is_statement(reader: Reader, block: Block) -> None:
    """Checks that a superuser of PostgreSQL can run the statements."""
    full_postgres(reader)
    reader.run("psql --set=ON_ERROR_STOP=1 customers", block.text)
