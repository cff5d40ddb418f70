"""A process of the load generator, which `bench.load.run` starts: `python -m bench.load`.

It connects, prints a line, waits for a line on standard input, so that several
processes start together, sends its requests, and prints the result as JSON.
"""

import argparse
import gc
import json
import sys
from pathlib import Path

from bench.load.connection import Connection, ConnectionClosedError, read_requests
from bench.load.http1 import Http1
from bench.load.http2 import Http2
from bench.load.loops import closed_loop, open_loop


def main() -> None:
    """Sends the requests of a file and prints their latencies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("requests", type=Path)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--grpc", default="", help="path of the method; without it, HTTP/1.1")
    parser.add_argument("--metadata", type=json.loads, default={}, help="JSON object, for gRPC")
    parser.add_argument("--streams", type=int, default=1, help="calls in flight per connection")
    parser.add_argument("--status", type=int, default=200, help="expected status of HTTP/1.1")
    parser.add_argument("--rate", type=float, default=0, help="requests per second; 0: unlimited")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    def connect() -> Connection:
        if args.grpc:
            return Http2("127.0.0.1", args.port, args.grpc, args.metadata)
        return Http1("127.0.0.1", args.port, args.status)

    requests = read_requests(args.requests)
    connections = [connect() for _ in range(args.connections)]
    gc.disable()
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        if args.rate:
            result = open_loop(connections, requests, args.rate, args.seed)
        else:
            result = closed_loop(connections, requests, args.streams)
    except ConnectionClosedError as error:
        sys.exit(f"the server closed a connection: {error}")
    report = {
        "seconds": result.ended - result.started,
        "min_bytes": result.min_bytes,
        "max_bytes": result.max_bytes,
        "errors": result.errors,
        "latencies_us": result.latencies_us.tolist(),
    }
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main()
