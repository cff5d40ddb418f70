"""Proves an import of many customers: `make prove-import`, or with `KILL=client` or `KILL=server`.

Customers of many countries, one in a hundred of them bad, are imported into a
real server; the rejects are compared with what was made bad, corrected and
imported; and all is exported and compared. Prints rates, and the most memory
that client and server had at any time.
"""

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.customers import BAD, write
from bench.processes import Command, Peak
from tests.support.server_process import ServerProcess
from tests.support.tokens import token_for

TENANT = "prove"


class Proof:
    """A server, a file of customers, and what is found out about them."""

    def __init__(self, folder: Path, rows: int, form: str) -> None:
        self._folder = folder
        self._file = folder / f"customers.{form}"
        began = time.monotonic()
        self._wanted = write(self._file, rows)
        _say(f"wrote {rows:,} customers, {self._file.stat().st_size / 1e6:,.0f} MB", began)
        self.client, self.service = Peak("client"), Peak("server")
        self._server = self._start()
        self._address = self._server.address

    def end(self) -> None:
        """Ends the server."""
        self._server.end()

    def imported(self, kill: str) -> dict[str, Any]:
        """Imports the file, with a kill midway if one is wanted, and returns the summary."""
        began = time.monotonic()
        command = self._command("import", self._file, "--json")
        if kill:
            self._wait_until_midway()
            _say(f"killing the {kill} midway", began)
        if kill == "client":
            command.kill()
            command = self._command("import", self._file, "--json")
        if kill == "server":
            self._server.stop(signal.SIGKILL)
            self._server = self._start(self._address)
        summary = command.summary(status=3)
        _say(f"imported: {summary}", began, self._wanted.rows)
        return summary

    def check_rejects(self, path: Path) -> None:
        """Checks that every bad row is rejected once, for what is wrong with it."""
        rejects = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        lines = [each["_reject"]["line"] for each in rejects]
        _must(lines == sorted(self._wanted.bad), "every bad row is rejected once, in order")
        for each in rejects:
            kind = self._wanted.bad[each["_reject"]["line"]]
            fields = {reason["field"] for reason in each["_reject"]["reasons"]}
            _must(fields == {BAD[kind].field}, f"{kind}: rejected for {fields}", quiet=True)
        _say(f"all {len(lines):,} rejects name the field that is wrong", time.monotonic())

    def correct(self, path: Path) -> None:
        """Corrects the rejects and imports them."""
        corrected = path.with_name("corrected.jsonl")
        with path.open() as source, corrected.open("w") as target:
            for line in source:
                customer = json.loads(line)
                customer |= self._wanted.correction(customer["_reject"]["line"])
                given = {name: value for name, value in customer.items() if value is not None}
                target.write(json.dumps(given) + "\n")
        summary = self._command("import", corrected, "--json").summary(status=0)
        _must(summary["created"] == len(self._wanted.bad), f"corrected rejects: {summary}")

    def compare(self) -> None:
        """Exports all customers and compares them with what was wanted."""
        began = time.monotonic()
        out = self._folder / "export.jsonl"
        exported = self._command("export", out, "--json").summary(status=0)["exported"]
        _say(f"exported {exported:,}", began, exported)
        seen = set()
        with out.open() as file:
            for line in file:
                customer = json.loads(line)
                number = int(customer["customerRef"])
                _must(self._wanted.is_same(number, customer), f"{number} as it was", quiet=True)
                seen.add(number)
        _must(exported == len(seen) == self._wanted.rows, f"all {len(seen):,} are as they were")

    def _start(self, *addresses: str) -> ServerProcess:
        server = ServerProcess({"data_dir": self._folder}, *addresses, LOG_LEVEL="WARNING")
        server.wait_ready()
        self.service.watch(server.process.pid)
        return server

    def _command(self, *args: object) -> Command:
        command = Command(self._address, TENANT, token_for(TENANT), *args)
        self.client.watch(command.pid)
        return command

    def _wait_until_midway(self) -> None:
        state = Path(f"{self._file}.import-state.json")
        done = 0
        while done < self._wanted.rows / 3:
            time.sleep(0.05)
            if state.exists():
                done = json.loads(state.read_text("utf-8"))["done"]


def main() -> None:
    """Runs the proof, and fails if anything is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--format", choices=["jsonl", "json"], default="jsonl")
    parser.add_argument("--kill", choices=["client", "server", ""], default="")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="prove-import-"))
    proof = Proof(folder, given.rows, given.format)
    try:
        summary = proof.imported(given.kill)
        rejects = Path(summary["rejects_file"])
        proof.check_rejects(rejects)
        proof.correct(rejects)
        proof.compare()
        print(proof.client, proof.service, sep="\n")
    finally:
        proof.end()
        shutil.rmtree(folder)


def _say(what: str, began: float, rows: int = 0) -> None:
    seconds = time.monotonic() - began
    rate = f", {rows / seconds:,.0f}/s" if rows else ""
    print(f"[{seconds:6.1f} s{rate}] {what}", flush=True)


def _must(holds: object, what: str, *, quiet: bool = False) -> None:
    if not holds:
        sys.exit(f"WRONG: {what}")
    if not quiet:
        print(f"[ok] {what}", flush=True)


if __name__ == "__main__":
    main()
