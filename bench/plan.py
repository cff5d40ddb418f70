"""How much is measured: all of it, or what takes less than three minutes."""

from typing import NamedTuple


class Plan(NamedTuple):
    """The size of everything. Rates are requests per second, times seconds."""

    rounds: int
    customers: int
    # How long a load as fast as it goes is to last, where its requests are any number.
    load_seconds: float
    # Requests of such a load where each is made for it.
    prepared: int
    warm_up: int
    # The load at a fixed rate.
    rate: int
    rate_seconds: float
    uploaded: int
    imported: int
    group_commits: int
    # Customers that the database grows to; 0 if it does not.
    grown: int


FULL = Plan(
    rounds=3,
    customers=10_000,
    load_seconds=3,
    prepared=4_000,
    warm_up=500,
    rate=800,
    rate_seconds=3,
    uploaded=5_000,
    imported=60_000,
    group_commits=8_000,
    grown=1_000_000,
)

QUICK = Plan(
    rounds=1,
    customers=2_000,
    load_seconds=0.8,
    prepared=800,
    warm_up=150,
    rate=800,
    rate_seconds=0.8,
    uploaded=5_000,
    imported=10_000,
    group_commits=2_000,
    grown=0,
)
