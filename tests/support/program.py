"""What tests that are run as a program, without pytest, begin and end with."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import RUN, end_strays
from twc_customer_gateway.settings import GatewaySettings

INTERRUPTED = 130

_END_SECONDS = 10


def say(line: str) -> None:
    """Prints a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


@contextmanager
def run_folder(prefix: str) -> Iterator[Path]:
    """Yields the folder of a run; ends what the run has started, and the program if interrupted.

    Settings of a service, such as DATABASE_URL, that the shell has set are removed.
    """
    for name in list(os.environ):
        if name.lower() in GatewaySettings.model_fields:
            del os.environ[name]
    with tempfile.TemporaryDirectory(prefix=prefix) as folder:
        os.environ[RUN] = folder
        try:
            yield Path(folder)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        finally:
            end_strays(None, _END_SECONDS)
