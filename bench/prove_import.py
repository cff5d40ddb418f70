"""Proves an import of many customers: `make prove-import`, or with `KILL=client` or `KILL=server`.

It imports fake customers, one percent of them invalid, into a real server;
compares the rejects with the faults; corrects and imports those; and compares an
export with the file. It prints rates, and the peak memory of client and server.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.import_file import FAULTS, write_import_file
from bench.issuer import Issuer
from bench.processes import (
    HOST,
    PeakMemory,
    await_ready,
    environment,
    free_ports,
    is_listening,
    running,
)
from bench.services import server_command
from twc_customer_server.settings.model import Settings

TENANT = "prove"


class Proof:
    """A server, and a file of customers to import into it."""

    def __init__(self, stack: ExitStack, folder: Path, rows: int, form: str) -> None:
        """Starts the server. The stack ends all processes."""
        self._stack = stack
        self._folder = folder
        self._file = folder / f"customers.{form}"
        started = time.monotonic()
        self._content = write_import_file(self._file, rows)
        _log(f"wrote {rows:,} customers, {self._file.stat().st_size / 1e6:,.0f} MB", started)
        self.client_memory, self.server_memory = PeakMemory(), PeakMemory()
        issuer = Issuer(folder)
        self._token = issuer.token(TENANT)
        settings = Settings(**issuer.settings, data_dir=folder, log_level="WARNING")
        self._environment = environment(settings)
        [self._port] = free_ports(1)
        self._server = self._start_server()

    def import_file(self, kill: str) -> dict[str, Any]:
        """Imports the file and returns the summary; may kill "client" or "server" midway."""
        started = time.monotonic()
        command = self._start_client("import", self._file, "--json")
        if kill:
            self._wait_until_midway()
            _log(f"killing the {kill} midway", started)
        if kill == "client":
            command.kill()
            command.wait()
            command = self._start_client("import", self._file, "--json")
        if kill == "server":
            self._server.kill()
            self._server.wait()
            self._server = self._start_server()
        summary = _summary(command, status=3)
        _log(f"imported: {summary}", started, self._content.rows)
        return summary

    def check_rejects(self, path: Path) -> None:
        """Checks that every invalid customer is rejected once, for its fault."""
        rejects = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        lines = [reject["_reject"]["line"] for reject in rejects]
        is_complete = lines == sorted(self._content.faults)
        _check(is_complete, "every invalid customer is rejected once, in order")
        for reject in rejects:
            fault = self._content.faults[reject["_reject"]["line"]]
            fields = {reason["field"] for reason in reject["_reject"]["reasons"]}
            is_named = fields == {FAULTS[fault].field}
            _check(is_named, f"{fault}: rejected for {fields}", quiet=True)
        _log(f"all {len(lines):,} rejects name the invalid field", time.monotonic())

    def import_corrected(self, path: Path) -> None:
        """Corrects the rejects and imports them."""
        corrected = path.with_name("corrected.jsonl")
        with path.open() as source, corrected.open("w") as target:
            for line in source:
                customer = json.loads(line)
                customer |= self._content.correction(customer["_reject"]["line"])
                members = {name: value for name, value in customer.items() if value is not None}
                target.write(json.dumps(members) + "\n")
        summary = _summary(self._start_client("import", corrected, "--json"), status=0)
        is_created = summary["created"] == len(self._content.faults)
        _check(is_created, f"corrected rejects: {summary}")

    def compare_export(self) -> None:
        """Exports all customers and compares them with the file."""
        started = time.monotonic()
        path = self._folder / "export.jsonl"
        client = self._start_client("export", path, "--json")
        exported = _summary(client, status=0)["exported"]
        _log(f"exported {exported:,}", started, exported)
        seen = set()
        with path.open() as file:
            for line in file:
                customer = json.loads(line)
                number = int(customer["customerRef"])
                is_same = self._content.is_same(number, customer)
                _check(is_same, f"customer {number} has the values of the file", quiet=True)
                seen.add(number)
        is_complete = exported == len(seen) == self._content.rows
        _check(is_complete, f"all {len(seen):,} customers have the values of the file")

    def _start_server(self) -> "subprocess.Popen[bytes]":
        log = self._folder / "server.log"
        command = server_command(self._port)
        server = self._stack.enter_context(running(command, log, self._environment))
        await_ready(lambda: is_listening(self._port), [server], log)
        self.server_memory.watch(server.pid)
        return server

    def _start_client(self, *args: object) -> "subprocess.Popen[str]":
        settings = {
            "TWC_SERVER": f"{HOST}:{self._port}",
            "TWC_TENANT": TENANT,
            "TWC_TOKEN": self._token,
        }
        client = subprocess.Popen(
            [sys.executable, "-m", "twc_customer_client", *map(str, args)],
            env=os.environ | settings,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._stack.callback(client.kill)
        self.client_memory.watch(client.pid)
        return client

    def _wait_until_midway(self) -> None:
        state = Path(f"{self._file}.import-state.json")
        done = 0
        while done < self._content.rows / 3:
            time.sleep(0.05)
            if state.exists():
                done = json.loads(state.read_text("utf-8"))["done"]


def main() -> None:
    """Runs the proof; exits with an error at the first difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--format", choices=["jsonl", "json"], default="jsonl")
    parser.add_argument("--kill", choices=["client", "server", ""], default="")
    args = parser.parse_args()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="prove-import-"))
        proof = Proof(stack, Path(folder), args.rows, args.format)
        summary = proof.import_file(args.kill)
        rejects = Path(summary["rejects_file"])
        proof.check_rejects(rejects)
        proof.import_corrected(rejects)
        proof.compare_export()
        print(f"peak memory of the client: {proof.client_memory.mebibytes:.0f} MiB")
        print(f"peak memory of the server: {proof.server_memory.mebibytes:.0f} MiB")


def _summary(client: "subprocess.Popen[str]", status: int) -> dict[str, Any]:
    """Waits for the client, which must exit with a status, and returns what it printed."""
    out, _ = client.communicate()
    if client.returncode != status:
        sys.exit(f"FAILED: the client exited with {client.returncode}, not {status}: {out}")
    summary: dict[str, Any] = json.loads(out)
    return summary


def _log(event: str, started: float, rows: int = 0) -> None:
    seconds = time.monotonic() - started
    rate = f", {rows / seconds:,.0f}/s" if rows else ""
    print(f"[{seconds:6.1f} s{rate}] {event}", flush=True)


def _check(condition: object, claim: str, *, quiet: bool = False) -> None:
    if not condition:
        sys.exit(f"FAILED: {claim}")
    if not quiet:
        print(f"[ok] {claim}", flush=True)


if __name__ == "__main__":
    main()
