"""A TCP proxy that holds back what clients send, so that a command is surely not finished."""

import socket
import threading
from contextlib import suppress

_CHUNK_BYTES = 16 * 1024
_RECONNECT_SECONDS = 0.05


class TcpGate:
    """Forwards connections to a server; holds requests beyond `limit` bytes until it opens.

    A connection that comes while the server is away waits for it.
    """

    def __init__(self, target: str, limit: int) -> None:
        """Listens on a port of its own; `target` is `host:port`."""
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._remaining = limit
        self._opened = threading.Event()
        self._closed = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def open(self) -> None:
        """Forwards everything from now on."""
        self._opened.set()

    def close(self) -> None:
        """Opens the gate, and accepts no more connections."""
        self._closed.set()
        self.open()
        # Wakes the thread that accepts, which closing alone does not.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client: socket.socket) -> None:
        server = self._connect()
        if server is None:
            client.close()
            return
        responses = threading.Thread(target=self._copy, args=(server, client), daemon=True)
        responses.start()
        self._copy(client, server, is_held=True)
        responses.join()
        client.close()
        server.close()

    def _connect(self) -> socket.socket | None:
        while not self._closed.wait(_RECONNECT_SECONDS):
            with suppress(OSError):
                return socket.create_connection(self._target)
        return None

    def _copy(self, source: socket.socket, target: socket.socket, *, is_held: bool = False) -> None:
        """Forwards until either side ends the connection, and then ends both."""
        with suppress(OSError):
            while data := source.recv(_CHUNK_BYTES):
                self._remaining -= len(data) if is_held else 0
                if is_held and self._remaining < 0:
                    self._opened.wait()
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
