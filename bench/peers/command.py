"""The command line of a peer: `seed FILE` creates its database, `serve PORT` serves it."""

import argparse
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from twc_customer_server.settings.model import Settings
from twc_customer_server.telemetry import logs

_BATCH = 500

Batches = Iterable[list[dict[str, Any]]]


class Peer(NamedTuple):
    """A peer's name, and its functions: one fills a database for a tenant, one serves a port."""

    name: str
    seed: Callable[[Path, str, Batches], None]
    serve: Callable[[Path, int], None]


def run(peer: Peer) -> None:
    """Runs the command that the arguments of this process name."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.peers.{peer.name}")
    parser.add_argument("--data", type=Path, required=True, help="folder of the SQLite database")
    parser.add_argument("--tenant", default="bench", help="tenant of the customers")
    parser.add_argument("command", choices=("seed", "serve"))
    parser.add_argument("subject", help="JSON Lines file to seed with, or port to serve on")
    args = parser.parse_args()
    os.umask(0o077)
    args.data.mkdir(parents=True, exist_ok=True)
    path = args.data / f"{peer.name}.db"
    if args.command == "seed":
        peer.seed(path, args.tenant, _batches(Path(args.subject)))
    else:
        logs.configure(Settings().log_level)
        peer.serve(path, int(args.subject))


def _batches(path: Path) -> Iterator[list[dict[str, Any]]]:
    """Reads the customers of a file in batches."""
    with path.open("rb") as lines:
        customers = map(json.loads, lines)
        while batch := list(itertools.islice(customers, _BATCH)):
            yield batch
