"""The command line as a process, and the most memory that processes have."""

import json
import os
import subprocess
import sys
import threading
import time
from typing import Any

import psutil

_EVERY_SECONDS = 0.05


class Command:
    """`twc-customers` with its arguments, under way."""

    def __init__(self, server: str, tenant: str, token: str, *args: object) -> None:
        own = {"TWC_SERVER": server, "TWC_TENANT": tenant, "TWC_TOKEN": token}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "client", *map(str, args)],
            env=os.environ | own,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def kill(self) -> None:
        """Ends it at once."""
        self._process.kill()
        self._process.wait()

    def summary(self, status: int) -> dict[str, Any]:
        """Waits for its end, which must have a status, and returns what it printed."""
        out, _ = self._process.communicate()
        if self._process.returncode != status:
            sys.exit(f"WRONG: the command ended with {self._process.returncode}: {out}")
        printed: dict[str, Any] = json.loads(out)
        return printed


class Peak:
    """The most memory (RSS) that any of some processes had at any time."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._most = 0

    def watch(self, pid: int) -> None:
        """Looks at a process again and again until it ends."""
        threading.Thread(target=self._look, args=(pid,), daemon=True).start()

    def __str__(self) -> str:
        """Says it in MiB."""
        return f"peak memory of the {self._name}: {self._most / (1 << 20):.0f} MiB"

    def _look(self, pid: int) -> None:
        try:
            process = psutil.Process(pid)
            while process.status() != psutil.STATUS_ZOMBIE:
                self._most = max(self._most, process.memory_info().rss)
                time.sleep(_EVERY_SECONDS)
        except psutil.NoSuchProcess:
            return
