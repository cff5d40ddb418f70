"""How many files, connections included, a process may have open."""

import resource
from contextlib import suppress


def allow_most() -> None:
    """Lets this process, and those that it starts, open as many files as the system admits.

    Shells often allow 1,024, for programs of old, and more to those that ask.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    # macOS admits fewer than it says.
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
