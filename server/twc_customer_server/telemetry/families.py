"""The service's own metrics beside those of its RPCs: names, labels, and what they count.

No label has a tenant, which would be a series for each.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum, auto
from itertools import product
from typing import NamedTuple


class Kind(Enum):
    """Tells what a series has in its cells."""

    COUNTER = auto()
    # The number of events, and the sum of their seconds.
    SUMMARY = auto()
    GAUGE = auto()
    # A time in seconds since the Unix epoch, or 0: the metric is the time since then.
    AGE = auto()

    @property
    def cells(self) -> int:
        """The number of cells."""
        return 2 if self is Kind.SUMMARY else 1

    @property
    def is_of_process(self) -> bool:
        """Whether what the cells have ends with the process."""
        return self in {Kind.GAUGE, Kind.AGE}


class Family(NamedTuple):
    """A metric: its name without `_total`, its meaning, and the values of each of its labels.

    `across` makes one value of those that several processes have.
    """

    kind: Kind
    name: str
    help: str
    labels: Mapping[str, Sequence[str]] = {}
    across: Callable[[Iterable[float]], float] = sum

    def series(self) -> list[tuple[str, ...]]:
        """Returns the label values of each series."""
        return list(product(*self.labels.values()))


# What is purged, by kind of rows.
PURGES = ("outcomes", "deletions")

STATEMENTS = Family(
    Kind.SUMMARY,
    "twc_customer_statement_seconds",
    "Time of statements in the database, by their operation and table.",
    {
        "operation": ("select", "insert", "update", "delete"),
        "table": ("customer", "outcome", "change_sequence"),
    },
)
COMMITS = Family(
    Kind.SUMMARY,
    "twc_customer_commit_seconds",
    "Time of group commits on SQLite, from the turn to write until all of a group is on disk.",
)
COMMIT_WAIT = Family(
    Kind.COUNTER,
    "twc_customer_commit_wait_seconds",
    "Time for which group commits on SQLite waited while another worker had its turn to write.",
)
COMMITTED_WRITES = Family(
    Kind.COUNTER,
    "twc_customer_committed_writes",
    "Writes in group commits on SQLite; by commit, the size of a group.",
)
# What a pool of connections leads to: DATABASE_URL, or one of DATABASE_READ_URLS.
_DATABASES = ("primary", "replica")

POOL_CONNECTIONS = Family(
    Kind.GAUGE,
    "twc_customer_pool_connections",
    "Connections to PostgreSQL.",
    {"database": _DATABASES, "state": ("in_use", "idle")},
)
POOL_WAITING = Family(
    Kind.GAUGE,
    "twc_customer_pool_waiting_calls",
    "Calls that wait for a connection to PostgreSQL.",
    {"database": _DATABASES},
)
POOL_WAITS = Family(
    Kind.SUMMARY,
    "twc_customer_pool_wait_seconds",
    "Time for which calls waited for a connection to PostgreSQL, of those that had to.",
    {"database": _DATABASES},
)
POOL_TIMEOUTS = Family(
    Kind.COUNTER,
    "twc_customer_pool_timeouts",
    "Calls that got no connection to PostgreSQL in time.",
    {"database": _DATABASES},
)
HANGING_CALLS = Family(
    Kind.COUNTER,
    "twc_customer_hanging_calls",
    "Calls that were cut since they hung in PostgreSQL, or refused since such calls did.",
    {"ending": ("cut", "refused")},
)
REPLICA_READS = Family(
    Kind.COUNTER,
    "twc_customer_replica_reads",
    "Reads that a replica may answer: by one, or by the primary, and why.",
    {
        "result": (
            "replica",
            "latest",
            "lag",
            "left_out",
            "busy",
            "conflict",
            "failed",
            "nothing_found",
        )
    },
)
REPLICAS = Family(
    Kind.GAUGE,
    "twc_customer_replicas",
    "Replicas that reads use, and those that are left out.",
    {"state": ("used", "left_out")},
    across=max,
)
REPLICA_LAG = Family(
    Kind.GAUGE,
    "twc_customer_replica_lag_seconds",
    "Time by which a replica is behind the primary at most, of the one that is furthest behind.",
    across=max,
)
TOKENS = Family(
    Kind.COUNTER,
    "twc_customer_tokens",
    "Tokens of calls: verified before, verified now, or not valid.",
    {"result": ("cached", "verified", "refused")},
)
KEYS_AGE = Family(
    Kind.AGE,
    "twc_customer_keys_age_seconds",
    "Time since the last fetch of the issuer's keys that was the longest ago, of issuers in use.",
)
REFUSALS = Family(
    Kind.COUNTER,
    "twc_customer_refusals",
    "Calls refused beyond a limit.",
    {
        "limit": (
            "calls",
            "tenant_calls",
            "tenant_rate",
            "new_token_calls",
            "bulk",
            "tenant_bulk",
            "waiting",
            "tenant_waiting",
            "tenant_large_bodies",
            "messages",
            "refusals",
        )
    },
)
ADMITTED_CALLS = Family(
    Kind.GAUGE,
    "twc_customer_admitted_calls",
    "Calls that count against the limits: of one message, uploads and streams, waits for changes.",
    {"kind": ("unary", "bulk", "waiting")},
)
QUEUED_CALLS = Family(
    Kind.GAUGE, "twc_customer_queued_calls", "Calls that are received and wait for a thread."
)
UNNUMBERED = Family(
    Kind.GAUGE,
    "twc_customer_unnumbered_changes",
    "Changes that no reader has seen, of the tenant with the most whose changes are being read.",
    across=max,
)
IMPORTED = Family(
    Kind.COUNTER,
    "twc_customer_import_items",
    "Customers of imports, by what became of them.",
    {"result": ("created", "updated", "unchanged", "skipped", "valid", "error")},
)
PURGED_ROWS = Family(
    Kind.COUNTER,
    "twc_customer_purged_rows",
    "Rows deleted because their time had come.",
    {"kind": PURGES},
)
PURGE_OVERDUE = Family(
    Kind.AGE,
    "twc_customer_purge_overdue_seconds",
    "Time since the oldest row that is left should have been purged, by the last look.",
    {"kind": PURGES},
)

# In the order of their cells.
FAMILIES = (
    STATEMENTS,
    COMMITS,
    COMMIT_WAIT,
    COMMITTED_WRITES,
    POOL_CONNECTIONS,
    POOL_WAITING,
    POOL_WAITS,
    POOL_TIMEOUTS,
    HANGING_CALLS,
    REPLICA_READS,
    REPLICAS,
    REPLICA_LAG,
    TOKENS,
    KEYS_AGE,
    REFUSALS,
    ADMITTED_CALLS,
    QUEUED_CALLS,
    UNNUMBERED,
    IMPORTED,
    PURGED_ROWS,
    PURGE_OVERDUE,
)
