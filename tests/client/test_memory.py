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


@pytest.mark.parametrize("suffix", [".csv", ".json", ".jsonl"])
def test_memory_of_large_files(cli: CommandLine, suffix: str) -> None:
    """A large import or export takes hardly more memory than a small one."""
    small = write(cli.folder / f"small{suffix}", 100)
    large = write(cli.folder / f"large{suffix}", ROWS)
    assert large.stat().st_size > 17_500_000
    little = peak(cli, "import", small)

    assert peak(cli, "import", large) - little < MAX_GROWTH
    out = cli.folder / ("out.csv" if suffix == ".csv" else "out.jsonl")
    assert peak(cli, "export", out) - little < MAX_GROWTH
    assert out.stat().st_size > 15_000_000
