"""The memory of a command does not grow with its file."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.client.command_line import CommandLine

# About 20 MB in each format, of which a command holds a few batches at a time.
ROWS = 10_000
TEXT = "x" * 900
KIBIBYTE = 1024
MAX_GROWTH = 20 * KIBIBYTE

# VmHWM, unlike ru_maxrss, does not begin with the memory of the parent process.
MEASURED = """
import re, sys
from twc_customer_client.cli import cli
try:
    cli(sys.argv[1:])
finally:
    print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1], file=sys.stderr)
"""


def customer(number: int) -> dict[str, Any]:
    """Returns a customer of two kilobytes; every tenth is invalid."""
    email = f"{number}@example.com" if number % 10 else f"bad {number}"
    return {"email": email, "firstName": TEXT, "lastName": TEXT}


def write(path: Path, rows: int) -> Path:
    """Writes a file of customers."""
    customers = (customer(number) for number in range(rows))
    with path.open("w") as file:
        if path.suffix == ".csv":
            file.write("email,firstName,lastName\n")
            file.writelines(",".join(each.values()) + "\n" for each in customers)
        elif path.suffix == ".json":
            file.write("[" + ",".join(map(json.dumps, customers)) + "]")
        else:
            file.writelines(json.dumps(each) + "\n" for each in customers)
    return path


def peak(cli: CommandLine, *args: object) -> int:
    """Runs a command and returns its peak memory in KiB."""
    result = subprocess.run(
        [sys.executable, "-c", MEASURED, *map(str, args)],
        env=os.environ | cli.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    *_, kibibytes = result.stderr.split()
    assert result.returncode in {0, 3}, result
    return int(kibibytes)


@pytest.fixture(scope="module")
def little(address: str, tmp_path_factory: pytest.TempPathFactory) -> int:
    """The peak memory of an import of few customers, in KiB."""
    cli = CommandLine(address, "little", tmp_path_factory.mktemp("little"))
    return peak(cli, "import", write(cli.folder / "small.jsonl", 100))


@pytest.fixture(scope="module")
def stocked(address: str, tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """The command line of a tenant with many customers."""
    cli = CommandLine(address, "stocked", tmp_path_factory.mktemp("stocked"))
    peak(cli, "import", write(cli.folder / "large.jsonl", ROWS))
    return cli


@pytest.mark.parametrize("suffix", [".csv", ".json", ".jsonl"])
def test_memory_of_import(cli: CommandLine, little: int, suffix: str) -> None:
    """A large import takes hardly more memory than a small one."""
    large = write(cli.folder / f"large{suffix}", ROWS)
    assert large.stat().st_size > 17_500_000

    assert peak(cli, "import", large) - little < MAX_GROWTH


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_memory_of_export(stocked: CommandLine, little: int, suffix: str) -> None:
    """A large export takes hardly more memory than a small import."""
    out = stocked.folder / f"out{suffix}"

    assert peak(stocked, "export", out) - little < MAX_GROWTH
    assert out.stat().st_size > 15_000_000
