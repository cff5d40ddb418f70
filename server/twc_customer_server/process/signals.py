"""Signals that a server and the supervisor of several understand."""

import signal

# Stop.
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

# The whole service stops. First its native clients are to know, before the gateway does;
# then calls that wait for changes are to end, so that the gateway's do.
DRAIN_SIGNAL = signal.SIGUSR1
STOP_WAITING_SIGNAL = signal.SIGUSR2
ALL_SIGNALS = (*STOP_SIGNALS, DRAIN_SIGNAL, STOP_WAITING_SIGNAL)
