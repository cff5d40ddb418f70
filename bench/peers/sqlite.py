"""How every peer has SQLite work: as durable as the service, and one writer at a time."""

import threading

# As in server/storage/sqlite.py.
PRAGMAS: dict[str, str | int] = {
    "journal_mode": "wal",
    "synchronous": "full",
    "busy_timeout": 5000,
    "cache_size": -8 * 1024,
}
STATEMENTS = [f"PRAGMA {name} = {value}" for name, value in PRAGMAS.items()]

# Held by the thread that writes. SQLite has one writer at a time, and those
# that find it busy sleep and look again: threads of one process do better to
# wait for each other. Other processes are waited for by `busy_timeout`.
WRITING = threading.Lock()

# Requests that a process works on at a time, as THREADS of the service is by default.
THREADS = 16
