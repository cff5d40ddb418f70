"""`twc-customers` as its users run it: within the test, or as a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner
from google.protobuf import json_format
from twc.customer.v2.customer_pb2 import Customer

from tests.support.tokens import token_for
from twc_customer_client.main import cli

SECONDS = 120


class Ended(NamedTuple):
    """A command that has ended."""

    status: int
    out: str
    err: str

    @property
    def object(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)


class CommandLine:
    """Runs commands for one tenant, in a folder of their own."""

    def __init__(self, server: str, tenant: str, folder: Path) -> None:
        self.tenant = tenant
        self.folder = folder
        self.environment = {
            "TWC_SERVER": server,
            "TWC_TENANT": tenant,
            "TWC_TOKEN": token_for(tenant),
        }

    def run(self, *args: object) -> Ended:
        """Runs a command within this process, with paths as they are given."""
        done = CliRunner(env=self.environment).invoke(
            cli, [str(arg) for arg in args], prog_name="twc-customers"
        )
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert "Traceback" not in done.stderr
        assert self.environment["TWC_TOKEN"] not in done.stderr
        return Ended(done.exit_code, done.stdout, done.stderr)

    def imports(self, file: Path, *options: object) -> Any:
        """Imports a file that has no rejects, and returns the summary."""
        done = self.run("import", file, "--json", *options)
        assert done.status == 0, done
        return done.object

    def exports(self, *options: object) -> list[dict[str, Any]]:
        """Exports as JSON Lines, and returns the lines."""
        done = self.run("export", *options)
        assert done.status == 0, done
        return [json.loads(line) for line in done.out.splitlines()]

    def stored(self) -> list[Customer]:
        """Exports all customers, in the order of their e-mail addresses."""
        found = [json_format.ParseDict(line, Customer()) for line in self.exports()]
        return sorted(found, key=lambda customer: customer.email)

    def start(self, *args: object) -> "subprocess.Popen[str]":
        """Starts a command as a process of its own, in the folder."""
        return subprocess.Popen(
            [sys.executable, "-m", "twc_customer_client", *map(str, args)],
            env=os.environ | self.environment | {"PYTHONPATH": str(Path.cwd())},
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def write(self, name: str, *rows: object) -> Path:
        """Writes a file into the folder: texts as lines, all else as JSON on a line."""
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        path = self.folder / name
        path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        return path


def finish(process: "subprocess.Popen[str]", given: str | None = None) -> Ended:
    """Waits for a process to end."""
    out, err = process.communicate(given, SECONDS)
    return Ended(process.returncode, out, err)


def given_by_clients(customer: Customer) -> Customer:
    """A customer without what the server adds."""
    copy = Customer()
    copy.CopyFrom(customer)
    for field in ("id", "created_date", "last_modified_date"):
        copy.ClearField(field)
    for address in (*copy.addresses, copy.default_address):
        address.ClearField("id")
        address.ClearField("customer_id")
    return copy


def emails(*numbers: int) -> list[dict[str, str]]:
    """Customers that have no more than e-mail addresses."""
    return [{"email": f"customer-{number}@example.com"} for number in numbers]


def each(**cases: Any) -> pytest.MarkDecorator:
    """Runs a test for each case, by the name of the case."""
    return pytest.mark.parametrize("case", cases.values(), ids=cases)
