"""Settings of the supervisor, read from the file that the configuration step writes.

The supervisor itself loads neither pydantic nor the contract, so that the one
process that only watches others stays small.
"""

import json
import math
from pathlib import Path
from typing import NamedTuple, Self

# The copy of the settings file that workers read, so that one that is restarted has the
# settings of the others.
SETTINGS_FILE = "settings.toml"

_FILE = "stack.json"

# Time for a service to become ready; workers share the cores, so that each adds to it.
_READY_SECONDS = 30
_WORKER_SECONDS = 1


class StackSettings(NamedTuple):
    """The processes to start, their ports, and the time that they have to start and stop."""

    # The Envoys, of which clients connect to the first: names, commands, and the sockets
    # of their administration.
    envoys: list[str]
    envoy_commands: list[list[str]]
    admin_sockets: list[str]
    # The environment of the Envoys that clients connect to, if they have the server inside.
    python_environment: dict[str, str]
    # Unix sockets of the servers, one each.
    worker_sockets: list[str]
    # Servers that run elsewhere, in place of workers.
    upstreams: list[str]
    pin_workers: bool
    bind: str
    # The address of the ports as URLs have it.
    host: str
    gateway_port: int
    grpc_port: int
    metrics_port: int
    database_wait_seconds: float
    drain_seconds: float
    grace_seconds: float
    log_level: str
    # Files that may change while the service runs.
    watched: list[str]
    # `look_at` has seen them like this before they were read.
    watched_as_read: list[list[int] | None]
    # Where customers are stored, without a password.
    data: str
    development: bool
    # Whether the gateway serves the page to try the API on.
    docs: bool
    # Of the memory in which a worker counts its RPCs: the size in bytes, and where
    # the numbers of calls in progress are.
    metrics_bytes: int
    gauge_offsets: list[int]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads the settings that `write` left in a folder. Raises OSError if there are none."""
        return cls(**json.loads((folder / _FILE).read_text()))

    def write(self, folder: Path) -> None:
        """Writes the settings into a folder, at once as a whole."""
        written = folder / f"{_FILE}.new"
        written.write_text(json.dumps(self._asdict(), indent=2))
        written.replace(folder / _FILE)

    def envoy_arguments(self) -> list[tuple[str, list[str], str]]:
        """Returns name, command and administration socket of each Envoy."""
        return [*zip(self.envoys, self.envoy_commands, self.admin_sockets, strict=True)]

    @property
    def ready_seconds(self) -> int:
        """The time that the service has to become ready."""
        seconds = _READY_SECONDS + _WORKER_SECONDS * len(self.worker_sockets)
        return seconds + math.ceil(self.database_wait_seconds)

    @property
    def gateway_address(self) -> str:
        """Where the gateway serves, as `host:port`."""
        return f"{self.host}:{self.gateway_port}"

    @property
    def native_address(self) -> str:
        """Where native gRPC is served, as `host:port`."""
        return f"{self.host}:{self.grpc_port}"
