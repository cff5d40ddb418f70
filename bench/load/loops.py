"""The two ways to put load on a server: as fast as it answers, or at a rate of its own."""

import random
import select
import time
from array import array
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice

from bench.load.connection import Connection
from bench.load.requests import Request

# What is wrong with answers is worth telling a few times only.
_TOLD = 3


class Outcome:
    """What came of requests: how long each took, and what was wrong."""

    def __init__(self) -> None:
        self.microseconds = array("L")
        self.shortest, self.longest = 1 << 60, 0
        self.wrong: list[str] = []
        self.began = time.perf_counter()
        self.ended = self.began

    def take(self, connection: Connection) -> int:
        """Takes what a connection has received, and returns the number of answers."""
        answers = connection.receive()
        self.ended = time.perf_counter()
        for began, length, wrong in answers:
            self.microseconds.append(round((self.ended - began) * 1e6))
            self.shortest = min(self.shortest, length)
            self.longest = max(self.longest, length)
            if wrong and len(self.wrong) < _TOLD:
                self.wrong.append(wrong)
        return len(answers)


def closed(connections: Sequence[Connection], requests: Sequence[Request], streams: int) -> Outcome:
    """Keeps `streams` requests under way on every connection until all are answered."""
    waiting = iter(requests)
    poll = select.epoll()
    numbered = {connection.socket.fileno(): connection for connection in connections}

    def send(connection: Connection, number: int) -> None:
        began = time.perf_counter()
        if batch := [(began, request) for request in islice(waiting, number)]:
            connection.send(batch)

    outcome = Outcome()
    for number, connection in numbered.items():
        poll.register(number, select.EPOLLIN)
        send(connection, streams)
    while len(outcome.microseconds) < len(requests):
        for number, _ in poll.poll():
            connection = numbered[number]
            if answered := outcome.take(connection):
                send(connection, answered)
    return outcome


def paced(
    connections: Sequence[Connection], requests: Sequence[Request], rate: float, seed: int
) -> Outcome:
    """Sends requests at a rate, as independent callers would: at random moments.

    A request's time counts from the moment at which it was due, be a connection
    free for it then or not.
    """
    numbered = {connection.socket.fileno(): connection for connection in connections}
    free = deque(connections)
    outcome = Outcome()
    due = deque(zip(_moments(outcome.began, len(requests), rate, seed), requests, strict=True))
    while len(outcome.microseconds) < len(requests):
        while due and free and due[0][0] <= time.perf_counter():
            free.popleft().send([due.popleft()])
        pause = max(0, due[0][0] - time.perf_counter()) if due and free else None
        # Not epoll, whose pauses are whole milliseconds.
        for number in select.select(numbered, (), (), pause)[0]:
            connection = numbered[number]
            free.extend([connection] * outcome.take(connection))
    return outcome


def _moments(began: float, number: int, rate: float, seed: int) -> Iterable[float]:
    rng = random.Random(seed)
    for _ in range(number):
        began += rng.expovariate(rate)
        yield began
