"""`twc-customers` as its users run it: within the test, or as a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import IO, Any, NamedTuple

import pytest
from click.testing import CliRunner
from google.protobuf import json_format
from twc.customer.v2.customer_pb2 import Customer

from tests.support.tokens import token_for
from twc_customer_client.cli import cli

# How long a command may take on a machine that is many times slower.
SECONDS = 120

# Turns coverage off in a process that is interrupted: it would leave a lock of
# coverage held, and the process would never exit.
WITHOUT_COVERAGE = {"COVERAGE_PROCESS_CONFIG": "", "COVERAGE_PROCESS_START": ""}


class Result(NamedTuple):
    """The exit status and the output of a command."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The standard output, parsed as JSON."""
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
        self._processes: list[subprocess.Popen[str]] = []

    def run(self, *args: object, stdin: str | None = None) -> Result:
        """Runs a command within this process; relative paths are those of the test."""
        result = CliRunner(env=self.environment).invoke(
            cli, [str(arg) for arg in args], input=stdin, prog_name="twc-customers"
        )
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert "Traceback" not in result.stderr
        assert self.environment["TWC_TOKEN"] not in result.stderr
        return Result(result.exit_code, result.stdout, result.stderr)

    def import_file(self, file: Path, *options: object) -> Any:
        """Imports a file without rejects, and returns the summary."""
        result = self.run("import", file, "--json", *options)
        assert result.status == 0, result
        return result.json

    def export(self, *options: object) -> list[dict[str, Any]]:
        """Exports as JSON Lines, and returns the lines."""
        result = self.run("export", *options)
        assert result.status == 0, result
        return [json.loads(line) for line in result.out.splitlines()]

    def stored(self) -> list[Customer]:
        """Exports all customers, and returns them by e-mail address."""
        customers = [json_format.ParseDict(line, Customer()) for line in self.export()]
        return sorted(customers, key=lambda customer: customer.email)

    def start(
        self, *args: object, stdout: int | IO[str] = subprocess.PIPE
    ) -> "subprocess.Popen[str]":
        """Starts a command as a process of its own, in the folder."""
        path = os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
        process = subprocess.Popen(
            [sys.executable, "-m", "twc_customer_client", *map(str, args)],
            env=os.environ | self.environment | {"PYTHONPATH": path},
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._processes.append(process)
        return process

    def close(self) -> None:
        """Kills the processes that a failed test has left."""
        for process in self._processes:
            if process.poll() is None:
                process.kill()
                process.communicate()

    def write(self, name: str, *rows: object) -> Path:
        """Writes a file into the folder: texts as lines, all else as JSON on a line."""
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        path = self.folder / name
        path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        return path


def finish(process: "subprocess.Popen[str]", stdin: str | None = None) -> Result:
    """Waits for a process to end, and returns its result."""
    out, err = process.communicate(stdin, SECONDS)
    return Result(process.returncode, out, err)


def without_server_fields(customer: Customer) -> Customer:
    """Returns a customer without the fields that the server sets."""
    copy = Customer()
    copy.CopyFrom(customer)
    for field in ("id", "created_date", "last_modified_date"):
        copy.ClearField(field)
    for address in (*copy.addresses, copy.default_address):
        address.ClearField("id")
        address.ClearField("customer_id")
    return copy


def emails(*numbers: int) -> list[dict[str, str]]:
    """Returns customers with nothing but e-mail addresses."""
    return [{"email": f"customer-{number}@example.com"} for number in numbers]


def cases(**values: Any) -> pytest.MarkDecorator:
    """Runs a test with each value as `case`, under the value's name."""
    return pytest.mark.parametrize("case", values.values(), ids=values)
