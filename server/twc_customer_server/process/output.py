"""Standard output of commands."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def end_with_reader() -> Iterator[None]:
    """Ends the process without a traceback if nobody reads its output any more: `… | head`."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
