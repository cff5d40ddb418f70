"""Clients that call by REST all the time, and what each call came to."""

import asyncio
import itertools
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from tests.support.client import SECONDS

READ, CREATE, UPLOAD = "read", "create", "upload"

# Outcomes without an answer: no connection came about, or it ended.
REFUSED, BROKEN = "refused", "broken"

# What clients do, in turn; every other one makes a new connection for each call.
_KINDS = (READ, READ, CREATE, CREATE, READ, READ, UPLOAD, CREATE)

# A client that was refused a connection tries again after this.
_PAUSE_SECONDS = 0.01


class Outcome(NamedTuple):
    """What a call came to, and when it began and ended by the monotonic clock."""

    kind: str
    status: int | str
    body: bytes
    began: float
    ended: float

    @property
    def is_done(self) -> bool:
        """Whether the service did what was asked."""
        return self.status in (200, 201)


class Load:
    """Clients of one tenant, each of which makes one call after another.

    Some read the customer at a path, and others create or upload some. Each may pause between
    two calls.
    """

    def __init__(
        self,
        port: int,
        headers: Mapping[str, str],
        path: str,
        clients: int,
        pause_seconds: float = 0,
    ) -> None:
        self.outcomes: list[Outcome] = []
        self._port = port
        self._path = path
        self._clients = clients
        self._pause_seconds = pause_seconds
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._numbers = itertools.count()
        self._is_over = False

    @contextmanager
    def running(self) -> Iterator[None]:
        """Has the clients call, in the background, until the end of the block."""
        thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        thread.start()
        try:
            yield
        finally:
            self._is_over = True
            thread.join()

    async def _run(self) -> None:
        clients = zip(range(self._clients), itertools.cycle(_KINDS), strict=False)
        await asyncio.gather(
            *(self._call_on(kind, reconnects=number % 2 == 0) for number, kind in clients)
        )

    async def _call_on(self, kind: str, *, reconnects: bool) -> None:
        connection = None
        while not self._is_over:
            began = time.monotonic()
            status: int | str = REFUSED
            body = b""
            try:
                connection = connection or _Connection(
                    *await asyncio.open_connection("127.0.0.1", self._port)
                )
                status = BROKEN
                sent = connection.request(self._request(kind))
                status, body = await asyncio.wait_for(sent, SECONDS)
            except (OSError, EOFError, TimeoutError):
                await asyncio.sleep(_PAUSE_SECONDS)
            self.outcomes.append(Outcome(kind, status, body, began, time.monotonic()))
            if connection and (reconnects or connection.is_over):
                connection.close()
                connection = None
            await asyncio.sleep(self._pause_seconds)
        if connection:
            connection.close()

    def _request(self, kind: str) -> bytes:
        if kind == READ:
            return self._encode("GET", self._path)
        new = {"email": f"{self._port}-{next(self._numbers)}@example.com"}
        if kind == CREATE:
            return self._encode("POST", "/customers", new)
        return self._encode("POST", "/upload-customers", [new])

    def _encode(self, method: str, path: str, content: Any = None) -> bytes:
        head = f"{method} /api/v2{path} HTTP/1.1\r\nhost: test\r\n{self._headers}"
        if content is None:
            return f"{head}\r\n".encode()
        body = json.dumps(content)
        media = f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
        return f"{head}{media}\r\n{body}".encode()


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        # Whether it can have no other request.
        self.is_over = False

    async def request(self, request: bytes) -> tuple[int, bytes]:
        """Sends a request, and returns status and body of the response."""
        self.is_over = True
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        if "\r\ntransfer-encoding: chunked" in head:
            body = await self._chunks()
        else:
            length = head.partition("\r\ncontent-length: ")[2].partition("\r\n")[0]
            body = await self._reader.readexactly(int(length or 0))
        self.is_over = "\r\nconnection: close" in head
        return int(head.split(" ", 2)[1]), body

    async def _chunks(self) -> bytes:
        body = b""
        while size := int(await self._reader.readline(), 16):
            body += (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readline()
        return body

    def close(self) -> None:
        self._writer.close()
