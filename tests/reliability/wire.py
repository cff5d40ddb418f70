"""PostgreSQL's messages, as far as the proxy must know them (protocol 3, without TLS)."""

import struct
from typing import BinaryIO, NamedTuple

_LENGTH = struct.Struct("!I")

PARSE, BIND, EXECUTE, QUERY, SYNC = b"P", b"B", b"E", b"Q", b"S"
READY = b"Z"
_ERROR = b"E"


class Message(NamedTuple):
    """A message: its kind, empty for the first one of a connection, and what it carries."""

    kind: bytes
    body: bytes

    def encoded(self) -> bytes:
        """The message as it is sent."""
        return self.kind + _LENGTH.pack(len(self.body) + _LENGTH.size) + self.body


def read(stream: BinaryIO, *, first: bool = False) -> Message:
    """Reads a message. Raises EOFError where there is no whole one."""
    kind = b"" if first else _exactly(stream, 1)
    [length] = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    return Message(kind, _exactly(stream, length - _LENGTH.size))


def query(sql: str) -> Message:
    """A message that has statements run."""
    return Message(QUERY, sql.encode() + b"\0")


def parse(sql: str) -> Message:
    """A message that makes a statement the one without a name."""
    return Message(PARSE, b"\0" + sql.encode() + b"\0" + b"\0\0")


def bind() -> Message:
    """A message that makes the statement without a name ready to be executed."""
    return Message(BIND, b"\0" * 8)


def refusal(sqlstate: str, message: str) -> Message:
    """A server's word that it does not take a connection."""
    fields = {"S": "FATAL", "V": "FATAL", "C": sqlstate, "M": message}
    body = "".join(f"{name}{value}\0" for name, value in fields.items())
    return Message(_ERROR, body.encode() + b"\0")


class Statements:
    """What a client has prepared, so that its messages can be read as SQL."""

    def __init__(self) -> None:
        self._prepared: dict[bytes, str] = {}

    def sent(self, message: Message) -> str | None:
        """The SQL that a message has run, if it is such a message."""
        first, *rest = message.body.split(b"\0", 2)
        if message.kind == QUERY:
            return first.decode()
        if message.kind == PARSE:
            self._prepared[first] = rest[0].decode()
        return self._prepared[rest[0]] if message.kind == BIND else None


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data
