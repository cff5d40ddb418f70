"""Signals that a server and the supervisor of several understand."""

import signal
from collections.abc import Collection

# Stop.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

# The whole service stops. First its native clients are to know, before the gateway does;
# then calls that wait for changes are to end, so that the gateway's do.
DRAIN_SIGNAL = signal.SIGUSR1
STOP_WAITING_SIGNAL = signal.SIGUSR2
ALL_SIGNALS = (*STOP_SIGNALS, DRAIN_SIGNAL, STOP_WAITING_SIGNAL)


def wait_for(signals: Collection[signal.Signals], seconds: float) -> int | None:
    """Waits for one of some signals, and returns it; returns None if none has come."""
    received = signal.sigtimedwait(signals, seconds)
    # A process that was suspended until its time was over gets a signal that there is not.
    return received.si_signo if received and received.si_signo in signals else None
