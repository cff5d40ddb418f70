"""Requests as bytes, in a file that the processes of the load generator read."""

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_LENGTHS = struct.Struct(">II")


class Request(NamedTuple):
    """What is sent, and bytes that the answer must hold.

    For HTTP/1.1 that is the whole request, for gRPC the encoded message.
    """

    sent: bytes
    wanted: bytes


def write(path: Path, requests: Iterable[Request]) -> None:
    """Writes requests to a file."""
    with path.open("wb") as file:
        for request in requests:
            file.write(_LENGTHS.pack(len(request.sent), len(request.wanted)))
            file.writelines(request)


def read(path: Path) -> list[Request]:
    """Reads all requests of a file."""
    content = path.read_bytes()
    requests = []
    place = 0
    while place < len(content):
        sent, wanted = _LENGTHS.unpack_from(content, place)
        begin = place + _LENGTHS.size
        place = begin + sent + wanted
        requests.append(Request(content[begin : begin + sent], content[begin + sent : place]))
    return requests
