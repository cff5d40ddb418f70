"""HTTP/2 by hand: sends frames that no client library would, and reads what comes back."""

import select
import socket
import struct
import time
from collections.abc import Iterator

from tests.security.outcomes import CUT, OPEN, REFUSED, Answer
from tests.support.http2_frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_HEADER,
    GOAWAY,
    HEADER_TABLE_SIZE,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Headers,
    frame,
    header_block,
    settings,
)

_FRAME_BYTES = 1 << 14
_FIRST_WINDOW = 65_535
_READ_BYTES = 1 << 18

# HPACK (RFC 7541): what is needed to read a status. The codes of Huffman are those of
# the digits and of the letters of `grpc-status`.
_STATUS, _STATUSES = 8, ("200", "204", "206", "304", "400", "404", "500")
_CODES = {
    "00000": "0", "00001": "1", "00010": "2", "011001": "3", "011010": "4", "011011": "5",
    "011100": "6", "011101": "7", "011110": "8", "011111": "9", "010110": "-", "00011": "a",
    "00100": "c", "100110": "g", "101011": "p", "101100": "r", "01000": "s", "01001": "t",
    "101101": "u",
}  # fmt: skip


class Http2:
    """A connection whose frames the caller chooses; `closed` says how it ended, if it did."""

    def __init__(
        self, port: int, seconds: float, *first: tuple[int, int], source: str = "127.0.0.1"
    ) -> None:
        """Connects from an address of this machine.

        `seconds` are those that sending may take, `first` the client's settings.
        """
        self.answers: dict[int, Answer] = {}
        self.closed = ""
        self.socket = socket.socket()
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(seconds)
        self.socket.bind((source, 0))
        try:
            self.socket.connect(("127.0.0.1", port))
        except OSError:
            self.closed = REFUSED
        self._next_stream = 1
        self._received = b""
        self._windows = {0: _FIRST_WINDOW}
        self._first_window = _FIRST_WINDOW
        self.send(PREFACE + settings((HEADER_TABLE_SIZE, 0), *first))

    def send(self, data: bytes) -> bool:
        """Sends bytes; tells whether the peer has taken them."""
        if self.closed == REFUSED:
            return False
        try:
            self.socket.sendall(data)
        except TimeoutError:
            return False
        except OSError:
            self.closed = self.closed or CUT
            return False
        return True

    def open(self, headers: Headers, *, end: bool = False) -> int:
        """Sends a request's headers, and returns the number of its stream."""
        return self.open_encoded(header_block(headers), end=end)

    def open_encoded(self, block: bytes, *, end: bool = False) -> int:
        """Sends encoded headers of a request, in more than one frame if they are long."""
        stream = self.reserve()
        parts = [block[at : at + _FRAME_BYTES] for at in range(0, len(block), _FRAME_BYTES)]
        frames = []
        for place, part in enumerate(parts):
            flags = END_HEADERS if place == len(parts) - 1 else 0
            if place == 0:
                frames.append(frame(HEADERS, flags | (END_STREAM if end else 0), stream, part))
            else:
                frames.append(frame(CONTINUATION, flags, stream, part))
        self.send(b"".join(frames))
        return stream

    def reserve(self) -> int:
        """Returns the number of a new stream, of which nothing is sent."""
        stream = self._next_stream
        self._next_stream += 2
        self.answers[stream] = Answer()
        self._windows[stream] = self._first_window
        return stream

    def write(self, stream: int, content: bytes, deadline: float, *, end: bool = False) -> None:
        """Sends data as fast as the peer's windows admit, until a time of the monotonic clock."""
        rest = memoryview(content)
        while not self.closed and not self.answers[stream].is_over:
            size = min(_FRAME_BYTES, len(rest), self._windows[0], self._windows[stream])
            if size > 0 or not rest:
                last = end and size == len(rest)
                self.send(frame(DATA, END_STREAM if last else 0, stream, bytes(rest[:size])))
                self._windows[0] -= size
                self._windows[stream] -= size
                rest = rest[size:]
                if not rest:
                    return
                self.read(0)
            elif time.monotonic() > deadline:
                return
            else:
                self.read(0.05)

    def read(self, seconds: float) -> None:
        """Reads what has arrived, waiting for it for some time if need be."""
        if self.closed or not select.select([self.socket], [], [], seconds)[0]:
            return
        try:
            received = self.socket.recv(_READ_BYTES)
        except OSError:
            received = b""
        if not received:
            self.closed = self.closed or CUT
            return
        self._received += received
        at = 0
        while at + FRAME_HEADER.size <= len(self._received):
            high, low, kind, flags, stream = FRAME_HEADER.unpack_from(self._received, at)
            end = at + FRAME_HEADER.size + (high << 16 | low)
            if end > len(self._received):
                break
            self._take(kind, flags, stream, self._received[at + FRAME_HEADER.size : end])
            at = end
        self._received = self._received[at:]

    def wait(self, deadline: float) -> None:
        """Reads until all requests are answered, or until a time of the monotonic clock."""
        while not self.closed and time.monotonic() < deadline and not self.is_idle:
            self.read(0.05)

    @property
    def is_idle(self) -> bool:
        """Whether no request is without an answer."""
        return all(answer.is_over for answer in self.answers.values())

    def labels(self) -> Iterator[tuple[str, int]]:
        """Yields what became of each request, and the size of its answer."""
        for answer in self.answers.values():
            label = answer.label
            yield (self.closed or OPEN if label == OPEN else label), answer.size

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == SETTINGS and not flags & ACK:
            self._apply(payload)
            self.send(frame(SETTINGS, ACK))
        elif kind == PING and not flags & ACK:
            self.send(frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE and stream in self._windows:
            self._windows[stream] += int.from_bytes(payload)
        elif kind == GOAWAY:
            self.closed = f"goaway {int.from_bytes(payload[4:8])}"
        elif answer := self.answers.get(stream):
            self._answer(answer, kind, flags, payload)
            if kind == DATA and payload:
                increment = struct.pack(">I", len(payload))
                self.send(frame(WINDOW_UPDATE, payload=increment))
                self.send(frame(WINDOW_UPDATE, 0, stream, increment))

    def _apply(self, payload: bytes) -> None:
        for name, value in struct.iter_unpack(">HI", payload):
            if name == INITIAL_WINDOW_SIZE:
                for stream in self.answers:
                    self._windows[stream] += value - self._first_window
                self._first_window = value

    @staticmethod
    def _answer(answer: Answer, kind: int, flags: int, payload: bytes) -> None:
        if kind == RST_STREAM:
            answer.reset = str(int.from_bytes(payload))
        elif kind == DATA:
            answer.size += len(payload)
        elif kind == HEADERS:
            answer.size += len(payload)
            for name, value in _statuses(payload):
                if name == "grpc-status":
                    answer.grpc_status = value
                else:
                    answer.status = value
        if kind == RST_STREAM or (kind in {DATA, HEADERS} and flags & END_STREAM):
            answer.is_over = True


def _statuses(block: bytes) -> Iterator[tuple[str, str]]:
    """Yields the headers `:status` and `grpc-status` of a block that uses no dynamic table."""
    at = 0
    while at < len(block):
        first = block[at]
        bits = 7 if first & 0x80 else 6 if first & 0x40 else 5 if first & 0x20 else 4
        index, at = _read_integer(block, at, bits)
        is_status = _STATUS <= index < _STATUS + len(_STATUSES)
        if bits == 7:
            if is_status:
                yield ":status", _STATUSES[index - _STATUS]
        elif bits != 5:
            name = ":status" if is_status else ""
            if index == 0:
                name, at = _read_text(block, at)
            value, at = _read_text(block, at)
            if name in {":status", "grpc-status"}:
                yield name, value


def _read_integer(block: bytes, at: int, bits: int) -> tuple[int, int]:
    most = (1 << bits) - 1
    value, at = block[at] & most, at + 1
    if value == most:
        shift = 0
        while True:
            part, at = block[at], at + 1
            value += (part & 0x7F) << shift
            shift += 7
            if part < 0x80:
                break
    return value, at


def _read_text(block: bytes, at: int) -> tuple[str, int]:
    is_coded = bool(block[at] & 0x80)
    length, at = _read_integer(block, at, 7)
    raw, end = block[at : at + length], at + length
    return (_decode(raw) if is_coded else raw.decode("latin-1")), end


def _decode(raw: bytes) -> str:
    """Decodes Huffman's code up to the first letter that no status has."""
    bits = "".join(f"{byte:08b}" for byte in raw)
    text, at = "", 0
    while at < len(bits):
        for length in (5, 6):
            if letter := _CODES.get(bits[at : at + length]):
                text, at = text + letter, at + length
                break
        else:
            return text if "0" not in bits[at:] else text + "?"
    return text
