"""The conditions that all contenders share: the plan, customers, credentials, cores, settings."""

import os
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from twc.customer.v2.customer_pb2 import Customer

from bench.dataset import Dataset, to_json
from bench.issuer import Issuer
from bench.postgres import PostgresServer
from twc_customer_gateway.settings import GatewaySettings

TENANT = "bench"


class Plan(NamedTuple):
    """The sizes of all measurements. Rates are requests per second."""

    rounds: int
    # Regular expressions of the names of contenders.
    contenders: str
    fixed_rate_contenders: str
    customers: int
    warm_up_requests: int
    # A closed loop: its duration where requests are cheap to make, else their number.
    load_seconds: float
    write_requests: int
    # An open loop of GET by id, with each of some seeds of arrivals.
    fixed_rate: int
    fixed_rate_seconds: float
    fixed_rate_seeds: int
    uploaded_customers: int
    imported_customers: int
    group_commit_requests: int
    observability_rounds: int
    # The large database that the small one is compared with; 0 for none.
    large_database_customers: int


FULL = Plan(
    rounds=3,
    contenders="",
    fixed_rate_contenders="",
    customers=10_000,
    warm_up_requests=500,
    load_seconds=3,
    write_requests=4_000,
    fixed_rate=800,
    fixed_rate_seconds=1.5,
    fixed_rate_seeds=10,
    uploaded_customers=5_000,
    imported_customers=60_000,
    group_commit_requests=8_000,
    observability_rounds=5,
    large_database_customers=1_000_000,
)

# Less than three minutes.
QUICK = Plan(
    rounds=1,
    contenders="^(?!.*PostgreSQL)",
    fixed_rate_contenders="^(service REST|FastAPI.*)$",
    customers=2_000,
    warm_up_requests=150,
    load_seconds=0.5,
    write_requests=500,
    fixed_rate=800,
    fixed_rate_seconds=0.5,
    fixed_rate_seeds=2,
    uploaded_customers=5_000,
    imported_customers=10_000,
    group_commit_requests=2_000,
    observability_rounds=2,
    large_database_customers=0,
)


class Testbed:
    """A working directory, the customers, and the credentials of the one client."""

    def __init__(self, folder: Path, plan: Plan, postgres: PostgresServer | None) -> None:
        self.folder = folder
        self.plan = plan
        self.postgres = postgres
        self.dataset = Dataset()
        self.cores = sorted(os.sched_getaffinity(0))
        self._issuer = Issuer(folder)
        token = self._issuer.token(TENANT)
        self.credentials = {"authorization": f"Bearer {token}", "x-twc-tenant": TENANT}

    @property
    def worker_cores(self) -> list[int]:
        """The cores for servers behind a gateway, which has the last one."""
        return self.cores[:-1] or self.cores

    @cached_property
    def customers(self) -> list[Customer]:
        """The customers that every database holds at first."""
        return [self.dataset.stored(number) for number in range(self.plan.customers)]

    @cached_property
    def body_bytes(self) -> dict[str, list[int]]:
        """The encoded size of each customer, by transport."""
        return {
            "REST": [
                len(to_json(customer, is_response=True).encode()) for customer in self.customers
            ],
            "gRPC": [customer.ByteSize() for customer in self.customers],
        }

    def settings(self, **changed: Any) -> GatewaySettings:
        """Returns default settings of a service that accepts the credentials, with changes."""
        # The credentials are those of one tenant, which is to have all.
        unlimited = {"tenant_requests_per_second": 0}
        return GatewaySettings(**self._issuer.settings | unlimited | changed)


def unset_service_settings() -> None:
    """Removes settings of the service, such as DATABASE_URL, from the environment.

    Contenders would otherwise inherit them from the shell.
    """
    for name in list(os.environ):
        if name.lower() in GatewaySettings.model_fields:
            del os.environ[name]
