"""The command line of a peer: `seed FILE` fills its database, `serve PORT` serves it."""

import argparse
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from twc_customer_server.settings import Settings
from twc_customer_server.telemetry import logs

# Customers that are stored at a time.
_BATCH = 500

Batches = Iterable[list[dict[str, Any]]]


class Peer(NamedTuple):
    """What a peer does with its database file: fill it for a tenant, and serve it on a port."""

    name: str
    seed: Callable[[Path, str, Batches], None]
    serve: Callable[[Path, int], None]


def run(peer: Peer) -> None:
    """Does what the arguments of this process say."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.peers.{peer.name}")
    parser.add_argument("--data", type=Path, required=True, help="folder of the SQLite database")
    parser.add_argument("--tenant", default="bench", help="tenant that the customers are of")
    parser.add_argument("command", choices=("seed", "serve"))
    parser.add_argument("subject", help="JSON Lines file to seed with, or port to serve on")
    given = parser.parse_args()
    os.umask(0o077)
    given.data.mkdir(parents=True, exist_ok=True)
    path = given.data / f"{peer.name}.db"
    if given.command == "seed":
        peer.seed(path, given.tenant, _batches(Path(given.subject)))
    else:
        logs.configure(Settings().log_level)
        peer.serve(path, int(given.subject))


def _batches(path: Path) -> Iterator[list[dict[str, Any]]]:
    """The customers of a file, some at a time."""
    with path.open("rb") as lines:
        customers = map(json.loads, lines)
        while batch := list(itertools.islice(customers, _BATCH)):
            yield batch
