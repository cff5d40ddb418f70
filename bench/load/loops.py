"""The two load models: a closed loop at the speed of the server, and an open loop at a rate."""

import random
import select
import time
from array import array
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice

from bench.load.connection import Connection, Request

# Enough to see what is wrong, without the responses of a whole run.
_MAX_ERRORS = 3


class LoadResult:
    """Latencies, body sizes and errors of the responses of a load."""

    def __init__(self) -> None:
        self.latencies_us = array("L")
        self.min_bytes, self.max_bytes = 1 << 60, 0
        self.errors: list[str] = []
        self.started = time.perf_counter()
        self.ended = self.started

    def collect(self, connection: Connection) -> int:
        """Adds the responses that a connection has received, and returns their number."""
        responses = connection.receive()
        self.ended = time.perf_counter()
        for started, body_bytes, error in responses:
            self.latencies_us.append(round((self.ended - started) * 1e6))
            self.min_bytes = min(self.min_bytes, body_bytes)
            self.max_bytes = max(self.max_bytes, body_bytes)
            if error and len(self.errors) < _MAX_ERRORS:
                self.errors.append(error)
        return len(responses)


def closed_loop(
    connections: Sequence[Connection], requests: Sequence[Request], streams: int
) -> LoadResult:
    """Keeps `streams` requests in flight on every connection until all have responses."""
    pending = iter(requests)
    poll = select.epoll()
    by_descriptor = {connection.socket.fileno(): connection for connection in connections}

    def send(connection: Connection, count: int) -> None:
        started = time.perf_counter()
        if batch := [(started, request) for request in islice(pending, count)]:
            connection.send(batch)

    result = LoadResult()
    for descriptor, connection in by_descriptor.items():
        poll.register(descriptor, select.EPOLLIN)
        send(connection, streams)
    while len(result.latencies_us) < len(requests):
        for descriptor, _ in poll.poll():
            connection = by_descriptor[descriptor]
            if received := result.collect(connection):
                send(connection, received)
    return result


def open_loop(
    connections: Sequence[Connection], requests: Sequence[Request], rate: float, seed: int
) -> LoadResult:
    """Sends requests at a rate, with the exponential gaps of independent clients.

    A latency counts from the moment at which the request was due, whether or not
    a connection was free then: a server that stalls cannot slow the load down.
    """
    by_descriptor = {connection.socket.fileno(): connection for connection in connections}
    idle = deque(connections)
    result = LoadResult()
    due = deque(zip(_arrivals(result.started, len(requests), rate, seed), requests, strict=True))
    while len(result.latencies_us) < len(requests):
        while due and idle and due[0][0] <= time.perf_counter():
            idle.popleft().send([due.popleft()])
        timeout = max(0, due[0][0] - time.perf_counter()) if due and idle else None
        # epoll's timeouts are whole milliseconds.
        for descriptor in select.select(by_descriptor, (), (), timeout)[0]:
            connection = by_descriptor[descriptor]
            idle.extend([connection] * result.collect(connection))
    return result


def _arrivals(moment: float, count: int, rate: float, seed: int) -> Iterable[float]:
    rng = random.Random(seed)
    for _ in range(count):
        moment += rng.expovariate(rate)
        yield moment
