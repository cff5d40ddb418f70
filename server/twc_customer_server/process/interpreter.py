"""Tunes Python's interpreter and the C library's memory for a process that serves."""

import ctypes
import gc
import sys

# Time after which a thread that computes lets another have the interpreter: an upload may
# compute for seconds, and a read waits for its turn several times.
_SWITCH_SECONDS = 0.0005

# Objects after which the garbage collector looks at the young ones, and how many times that
# is done until it looks at older ones. A look at all stops every call, for 0.1 s under load.
_COLLECTION_THRESHOLDS = (1000, 10, 50)


def switch_often() -> None:
    """Has threads that compute let others have the interpreter soon."""
    sys.setswitchinterval(_SWITCH_SECONDS)


def keep_imports() -> None:
    """Has the garbage collector begin, and leave out what was imported while it was stopped."""
    gc.freeze()
    gc.enable()


def spare_collector() -> None:
    """Has the garbage collector leave out the objects that stay until the process ends."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTION_THRESHOLDS)


def trim_memory() -> None:
    """Returns freed memory to the system, where the C library is glibc."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)
