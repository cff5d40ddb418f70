"""What an attack has at hand: credentials, connections, and the time until it must end."""

import itertools
import select
import socket
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from enum import StrEnum
from typing import Any, NamedTuple

import grpc
from twc.customer.v2 import customer_service_pb2

from tests.security import http1
from tests.security.http2 import Http2
from tests.security.outcomes import CUT, HELD_BACK, OPEN, REFUSED, Outcomes
from tests.security.target import ATTACKER, VICTIM, Target, headers_of
from tests.support.http2_frames import Headers

API = "/api/v2"
SERVICE = "/" + customer_service_pb2.DESCRIPTOR.services_by_name["CustomerService"].full_name

# Time for the answer to a complete call, and the interval of who sends slowly.
ANSWER_SECONDS = 20
_DRIP_SECONDS = 0.5
_PAUSE_SECONDS = 0.1
_HOLD_SECONDS = 0.5
_READ_BYTES = 1 << 16


class Who(StrEnum):
    """Whose credentials an attacker has."""

    # A token that nobody has signed.
    NONE = "none"
    # A good token of the attacker, on calls for the victim's tenant.
    OTHER = "another's"
    # A good token of the attacker, on calls for its own tenant.
    OWN = "own"


class Stream(NamedTuple):
    """A call over HTTP/2 that is begun: what is sent at once, and what bit by bit."""

    headers: Sequence[tuple[str, str]]
    sent: bytes = b""
    ends: bool = False
    drip: bytes = b""


class Attacker:
    """The means of one attack. All its connections end with it."""

    def __init__(
        self, target: Target, who: Who, port: str, seconds: float, volume: float = 1.0
    ) -> None:
        """Attacks for some seconds; `volume` is the part of its calls that it makes."""
        self.target, self.issuer, self.who = target, target.issuer, who
        self.port = target.ports[port]
        self.outcomes = Outcomes()
        self.answer_seconds: float = ANSWER_SECONDS
        self._seconds = seconds
        self.start()
        self._volume = volume
        self._opened: list[Any] = []
        self._mark = uuid.uuid4().hex
        self._numbers = itertools.count()

    def start(self) -> None:
        """Lets its time begin now; for attacks that had to prepare something."""
        self.begin = time.monotonic()
        self.end = self.begin + self._seconds

    @property
    def is_over(self) -> bool:
        """Whether its time has passed."""
        return time.monotonic() >= self.end

    def many(self, count: int) -> int:
        """So many, or fewer in a run of low volume."""
        return max(1, round(count * self._volume))

    def next(self) -> str:
        """A name that was not given before."""
        return f"{self._mark}-{next(self._numbers)}"

    def headers(self, tenant: str = "") -> dict[str, str]:
        """The headers that carry the credentials, or good ones of a tenant that is named."""
        if tenant:
            return headers_of(tenant, self.issuer.token(tenant))
        if self.who == Who.NONE:
            return headers_of(VICTIM, self.issuer.unsigned_token(VICTIM))
        named = VICTIM if self.who == Who.OTHER else ATTACKER
        return headers_of(named, self.target.tokens[ATTACKER])

    # HTTP/1.1

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Sequence[tuple[str, str]] = (),
    ) -> bytes:
        """Encodes a REST request with the credentials."""
        media = [("content-type", "application/json")] if method in {"POST", "PUT"} else []
        own = [*self.headers().items(), *media]
        return http1.request(method, API + path, [*own, *headers], body)

    def repeat(self, *requests: bytes | Callable[[], bytes], connections: int = 1) -> None:
        """Sends requests in turn on some connections, each when the one before is answered."""

        def call(number: int) -> None:
            connection: socket.socket | None = None
            for sent in itertools.islice(itertools.cycle(requests), number, None):
                if self.is_over:
                    break
                connection = connection or self.connect()
                if connection and not self.exchange(connection, sent() if callable(sent) else sent):
                    self.drop(connection)
                    connection = None

        self.at_once(call, connections)

    def call_all(self, calls: Iterable[Headers], content: bytes) -> None:
        """Sends calls of the same content on one connection, and waits for their answers."""
        with self.http2() as connection:
            for headers in calls:
                stream = connection.open(headers)
                connection.write(stream, content, self.end, end=True)
            connection.wait(self.end + self.answer_seconds)

    def exchange(self, connection: socket.socket, sent: bytes) -> bool:
        """Sends a request and notes the answer; tells whether the connection lasts."""
        label, size, lasts = http1.exchange(connection, sent)
        self.outcomes.add(label, size)
        return lasts

    def connect(self, received_bytes: int = 0) -> socket.socket | None:
        """Connects as `http1.connect` does, or notes after a pause that it could not."""
        try:
            connection = http1.connect(self.port, self.answer_seconds, received_bytes)
        except OSError:
            self.outcomes.add(REFUSED)
            time.sleep(_PAUSE_SECONDS)
            return None
        self._opened.append(connection)
        return connection

    def drop(self, connection: Any) -> None:
        """Closes a connection."""
        with suppress(OSError):
            connection.close()
        with suppress(ValueError):
            self._opened.remove(connection)

    def hold(self, first: bytes, count: int, *, drip: bytes = b"") -> None:
        """Begins a request on many connections and does not end it; may add to it bit by bit."""
        held = {it.fileno(): it for _ in range(count) if (it := self.connect()) is not None}
        for connection in [*held.values()]:
            # Who takes no more is not waited for.
            connection.settimeout(_HOLD_SECONDS)
            with suppress(OSError):
                connection.sendall(first)
            if self.is_over:
                break
        poll = select.poll()
        for number in held:
            poll.register(number, select.POLLIN)
        dripped = time.monotonic()
        is_over = False
        while held and not is_over:
            # What was answered while others were begun counts, too.
            is_over = self.is_over
            for number, _ in poll.poll(_PAUSE_SECONDS * 1000):
                poll.unregister(number)
                self._take(held.pop(number))
            if drip and time.monotonic() > dripped + _DRIP_SECONDS:
                dripped = time.monotonic()
                for connection in [*held.values()]:
                    with suppress(OSError):
                        connection.sendall(drip)
        if held:
            self.outcomes.add(OPEN, count=len(held))

    def _take(self, connection: socket.socket) -> None:
        """Notes the status of an answer that has begun to arrive."""
        try:
            received = connection.recv(_READ_BYTES)
        except OSError:
            received = b""
        parts = received.split(b" ", 2)
        label = parts[1].decode("latin-1") if received.startswith(b"HTTP/1") else CUT
        self.outcomes.add(label, len(received))
        self.drop(connection)

    # HTTP/2

    @contextmanager
    def http2(self, *first: tuple[int, int], source: str = "127.0.0.1") -> Iterator[Http2]:
        """Connects; notes at the end what became of the requests, or of the connection."""
        connection = Http2(self.port, self.answer_seconds, *first, source=source)
        if connection.closed:
            time.sleep(_PAUSE_SECONDS)
        self._opened.append(connection.socket)
        try:
            yield connection
        finally:
            connection.read(0)
            for label, size in connection.labels():
                self.outcomes.add(label, size)
            if not connection.answers:
                self.outcomes.add(connection.closed or OPEN)
            self.drop(connection.socket)

    def rpc(self, path: str, tenant: str = "", **more: str) -> list[tuple[str, str]]:
        """The headers of a native call, with the credentials."""
        first = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "localhost"}
        last = {"content-type": "application/grpc", "te": "trailers"}
        headers = first | last | self.headers(tenant)
        return [*headers.items(), *((name.replace("_", "-"), it) for name, it in more.items())]

    def rest(self, method: str, path: str, **more: str) -> list[tuple[str, str]]:
        """The headers of a REST call over HTTP/2, with the credentials."""
        first = {":method": method, ":scheme": "http", ":path": API + path}
        headers = first | {":authority": "localhost"} | self.headers()
        if method != "GET":
            headers["content-type"] = "application/json"
        return [*headers.items(), *((name.replace("_", "-"), it) for name, it in more.items())]

    def hold_streams(self, stream: Stream, count: int, *, connections: int = 1) -> None:
        """Begins calls on some connections, and waits for what becomes of them."""

        def call(number: int) -> None:
            with self.http2() as connection:
                for _ in range(number, count, connections):
                    number_of_stream = connection.open(stream.headers)
                    if stream.sent or stream.ends:
                        connection.write(number_of_stream, stream.sent, self.end, end=stream.ends)
                while not (connection.is_idle or connection.closed or self.is_over):
                    connection.read(_DRIP_SECONDS)
                    if stream.drip:
                        for each in [*connection.answers]:
                            connection.write(each, stream.drip, 0)

        self.at_once(call, connections)

    def flood(self, frames: bytes, *, reads: bool = True, first: bytes = b"") -> None:
        """Sends the same frames over and over; may leave what comes back unread."""
        while not self.is_over:
            with self.http2() as connection:
                connection.send(first)
                connection.socket.settimeout(max(0.1, self.end - time.monotonic()))
                while not (connection.closed or self.is_over):
                    if not connection.send(frames):
                        connection.closed = connection.closed or HELD_BACK
                    elif reads:
                        connection.read(0)

    # gRPC

    @contextmanager
    def channel(self) -> Iterator[grpc.Channel]:
        """A connection of a usual client."""
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1))
        with grpc.insecure_channel(f"127.0.0.1:{self.port}", options) as channel:
            yield channel

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The credentials of a usual client."""
        return tuple(self.headers().items())

    def call(self, act: Callable[[], Any]) -> bool:
        """Makes a call of a usual client, and notes its status; tells whether it succeeded."""
        label, size = "grpc 0", 0
        try:
            answer = act()
            messages: Iterable[Any] = [answer] if hasattr(answer, "ByteSize") else answer
            for each in messages:
                size += each.ByteSize()
        except grpc.RpcError as error:
            label = f"grpc {error.code().value[0]}"
        self.outcomes.add(label, size)
        return label == "grpc 0"

    def at_once(self, call: Callable[[int], object], count: int) -> None:
        """Does something so many times, each in a thread, and waits for all."""
        if count == 1:
            call(0)
            return
        with ThreadPoolExecutor(count) as threads:
            list(threads.map(call, range(count)))

    def close(self) -> None:
        """Closes all connections."""
        for opened in [*self._opened]:
            self.drop(opened)
