"""A proxy in front of PostgreSQL, which does to connections what networks and servers do."""

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Self

import psycopg
from psycopg.conninfo import conninfo_to_dict

from tests.reliability import wire

HOST = "127.0.0.1"


class _Act(Enum):
    """What is done to a connection on which a statement is sent."""

    CUT = "it is cut before the server has got the statement"
    LOSE_ANSWER = "it is cut when the server has run the statement"
    MUTE = "nothing passes any more, either way"
    REPLACE = "the server runs other SQL"


@dataclass
class _Rule:
    """What to do with the next so many statements that a pattern finds."""

    statement: re.Pattern[str]
    act: _Act
    times: int
    sql: str = ""


class Proxy:
    """Passes connections on to a PostgreSQL server, as well as it is told to."""

    def __init__(self, url: str) -> None:
        """Takes connections, on a port that the system chooses, for the server of a URL."""
        self._parameters = conninfo_to_dict(url)
        with psycopg.connect(url) as connection:
            self._server = (connection.info.host, connection.info.port)
        # Bound all the time, so that the port is this proxy's even while it refuses.
        self._reserved = _bound(0)
        self._port: int = self._reserved.getsockname()[1]
        self._links: set[_Link] = set()
        self._rules: list[_Rule] = []
        self._flows = threading.Event()
        self._flows.set()
        self._lock = threading.Lock()
        self.delay = 0.0
        self.held = 0
        self.denial: wire.Message | None = None
        self.statements: list[str] = []
        self._listen()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._refuse()
        self._reserved.close()
        self._flows.set()
        self.cut()

    def url(self, **changed: str) -> str:
        """The URL of the database by way of this proxy, with some parameters changed."""
        through = {"host": HOST, "port": self._port, "sslmode": "disable", "gssencmode": "disable"}
        known = self._parameters | through | changed
        return "postgresql://?" + "&".join(f"{key}={value}" for key, value in known.items())

    def cut(self) -> None:
        """Ends every connection."""
        for link in list(self._links):
            link.cut()

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Refuses connections for a while, after it has cut those that there are."""
        self._refuse()
        self.cut()
        try:
            yield
        finally:
            self._listen()

    @contextlib.contextmanager
    def stalled(self) -> Iterator[None]:
        """Accepts everything for a while and passes nothing on until that is over."""
        self._flows.clear()
        try:
            yield
        finally:
            self._flows.set()

    def deny(self, sqlstate: str, message: str) -> None:
        """Refuses connections from now on as a server does, with an error."""
        self.denial = wire.refusal(sqlstate, message)

    def cut_before(self, statement: str, times: int = 1) -> None:
        """Cuts a connection when a statement is sent, before the server has got it."""
        self._rules.append(_Rule(re.compile(statement), _Act.CUT, times))

    def cut_after(self, statement: str, times: int = 1) -> None:
        """Cuts a connection when the server has run a statement, in the place of its answer."""
        self._rules.append(_Rule(re.compile(statement), _Act.LOSE_ANSWER, times))

    def mute(self, statement: str, times: int = 1) -> None:
        """Lets nothing pass any more on a connection where a statement is sent."""
        self._rules.append(_Rule(re.compile(statement), _Act.MUTE, times))

    def run_instead(self, statement: str, sql: str, times: int = 1) -> None:
        """Has the server run other SQL in the place of a statement, which must fail."""
        self._rules.append(_Rule(re.compile(statement), _Act.REPLACE, times, sql))

    def fail(self, statement: str, sqlstate: str, times: int = 1) -> None:
        """Has the server answer a statement with an error."""
        sql = f"DO $$ BEGIN RAISE EXCEPTION 'injected' USING ERRCODE = '{sqlstate}'; END $$"
        self.run_instead(statement, sql, times)

    def count(self, statement: str) -> int:
        """How many statements that a pattern finds were sent so far."""
        return sum(1 for sent in list(self.statements) if re.search(statement, sent))

    def connections(self) -> int:
        """How many connections there are."""
        return len(self._links)

    def rule_for(self, statement: str) -> _Rule | None:
        """What is to be done with a statement that is sent now."""
        self.statements.append(statement)
        with self._lock:
            for rule in self._rules:
                if rule.times and rule.statement.search(statement):
                    rule.times -= 1
                    return rule
        return None

    def wait(self) -> None:
        """Holds whoever passes something on until that is to be done."""
        if not self._flows.is_set():
            with self._lock:
                self.held += 1
        self._flows.wait()

    def forget(self, link: "_Link") -> None:
        """Drops a connection that has ended."""
        self._links.discard(link)

    def _listen(self) -> None:
        self._listener = _bound(self._port)
        self._listener.listen(100)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _refuse(self) -> None:
        # Who accepts is only woken by this.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                link = _Link(self, client, _connected(*self._server))
                self._links.add(link)
                link.start()


class _Link:
    """A connection of a client, and the one to the server that it is passed on to."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._statements = wire.Statements()
        # Requests for an answer so far, the first being the connection itself,
        # and the one whose answer is to be lost.
        self._asked = 1
        self._lost: int | None = None
        self._is_mute = False

    def start(self) -> None:
        for work in (self._pass_on_requests, self._pass_on_answers):
            threading.Thread(target=self._until_cut, args=(work,), daemon=True).start()

    def cut(self) -> None:
        self._proxy.forget(self)
        for end in (self._client, self._server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _until_cut(self, work: Callable[[], None]) -> None:
        with contextlib.suppress(OSError, EOFError, ValueError):
            work()
        self.cut()

    def _pass_on_requests(self) -> None:
        with self._client.makefile("rb") as requests:
            message = wire.read(requests, first=True)
            if self._proxy.denial:
                self._client.sendall(self._proxy.denial.encoded())
                return
            while True:
                rule = None
                if message.kind and (sent := self._statements.sent(message)) is not None:
                    rule = self._proxy.rule_for(sent)
                self._proxy.wait()
                for each in self._ruled(message, rule):
                    self._server.sendall(each.encoded())
                message = wire.read(requests)

    def _ruled(self, message: wire.Message, rule: _Rule | None) -> list[wire.Message]:
        """What to pass on in the place of a message. Raises EOFError to cut the connection."""
        self._is_mute |= rule is not None and rule.act is _Act.MUTE
        if self._is_mute:
            return []
        if rule and rule.act is _Act.CUT:
            raise EOFError
        if rule and rule.act is _Act.LOSE_ANSWER:
            self._lost = self._asked + 1
        if message.kind in (wire.QUERY, wire.SYNC):
            self._asked += 1
        if not (rule and rule.act is _Act.REPLACE):
            return [message]
        if message.kind == wire.QUERY:
            return [wire.query(rule.sql)]
        return [wire.parse(rule.sql), wire.bind()]

    def _pass_on_answers(self) -> None:
        answered = 0
        with self._server.makefile("rb") as answers:
            while True:
                message = wire.read(answers)
                is_ready = message.kind == wire.READY
                is_lost = answered + 1 == self._lost
                # In a pipeline the client may want answers before it asks for the state.
                if is_lost and (is_ready or self._asked == answered):
                    return
                answered += is_ready
                time.sleep(self._proxy.delay * is_ready)
                self._proxy.wait()
                if not (is_lost or self._is_mute):
                    self._client.sendall(message.encoded())


def _bound(port: int) -> socket.socket:
    end = socket.socket()
    end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    end.bind((HOST, port))
    return end


def _connected(host: str, port: int) -> socket.socket:
    """A connection to a PostgreSQL server; a host that is a path is the folder of its socket."""
    if not host.startswith("/"):
        return socket.create_connection((host, port))
    end = socket.socket(socket.AF_UNIX)
    end.connect(f"{host}/.s.PGSQL.{port}")
    return end
