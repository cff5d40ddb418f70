"""One process of the load generator: `python -m bench.load`, started by `bench.load.run`.

It connects, says so, waits for a line on standard input, so that several begin
at the same time, and at the end prints what came of its requests as JSON.
"""

import argparse
import gc
import json
import sys
from pathlib import Path

from bench.load.connection import ClosedError, Connection
from bench.load.http1 import Http1
from bench.load.http2 import Http2
from bench.load.loops import closed, paced
from bench.load.requests import read


def main() -> None:
    """Sends the requests of a file, and says what came of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("requests", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--grpc", default="", help="path of the method; without, it is HTTP/1.1")
    parser.add_argument("--metadata", type=json.loads, default={}, help="JSON object; of gRPC")
    parser.add_argument("--streams", type=int, default=1, help="calls at a time on a connection")
    parser.add_argument("--status", type=int, default=200, help="what HTTP/1.1 is to answer")
    parser.add_argument("--rate", type=float, default=0, help="requests per second; 0: all it can")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()

    def connect() -> Connection:
        if given.grpc:
            return Http2("127.0.0.1", given.port, given.grpc, given.metadata)
        return Http1("127.0.0.1", given.port, given.status)

    requests = read(given.requests)
    connections = [connect() for _ in range(given.connections)]
    gc.disable()
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        if given.rate:
            outcome = paced(connections, requests, given.rate, given.seed)
        else:
            outcome = closed(connections, requests, given.streams)
    except ClosedError as error:
        sys.exit(f"the server ended a connection: {error}")
    told = {
        "seconds": outcome.ended - outcome.began,
        "shortest": outcome.shortest,
        "longest": outcome.longest,
        "wrong": outcome.wrong,
        "microseconds": outcome.microseconds.tolist(),
    }
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
