"""Runs the gRPC server: `python -m server [ADDRESS ...]`.

An address is `host:port` or `unix:path`; without any, the server listens on
`BIND` and `GRPC_PORT`. SIGTERM and SIGINT stop it when running calls have
ended.
"""

import logging
import signal
import sys

from server.app import App
from server.settings import Settings

_STOP = (signal.SIGTERM, signal.SIGINT)


def main(addresses: list[str]) -> None:
    """Serves until a signal comes."""
    settings = Settings()
    logging.basicConfig(level=settings.log_level, format="%(levelname)s %(name)s %(message)s")
    # Blocked in every thread that starts from here, so that this one can wait
    # for them: a handler might run in a thread that wakes nobody.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)
    try:
        app = App(settings, addresses or [f"{settings.bind}:{settings.grpc_port}"])
    except OSError as error:
        sys.exit(str(error))
    app.start()
    signal.sigwait(_STOP)
    app.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
