"""Runs the gRPC server: `python -m server [ADDRESS ...]`.

An address is `host:port` or `unix:path`; without any, the server listens on
`BIND` and `GRPC_PORT`. SIGTERM and SIGINT stop it when running calls have
ended.
"""

import logging
import signal
import sys
import threading

from server.app import App
from server.settings import Settings


def main(addresses: list[str]) -> None:
    """Serves until a signal comes."""
    settings = Settings()
    logging.basicConfig(level=settings.log_level, format="%(levelname)s %(name)s %(message)s")
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        app = App(settings, addresses or [f"{settings.bind}:{settings.grpc_port}"])
    except OSError as error:
        sys.exit(str(error))
    app.start()
    stopping.wait()
    app.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
