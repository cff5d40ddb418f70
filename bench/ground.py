"""What all contenders stand on: the same customers, the same tokens, the same cores."""

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
import psycopg
from twc.customer.v2.customer_pb2 import Customer

from bench.documents import Documents, to_json
from bench.plan import Plan
from tests.support.postgres import Server
from tests.support.tokens import AUDIENCE, trust, trusted_issuer
from twc_customer_gateway.settings import GatewaySettings
from twc_customer_server.settings import Settings

TENANT = "bench"

# Longer than a benchmark takes.
_TOKEN_SECONDS = 24 * 60 * 60


class Ground:
    """A folder for everything, the customers, and who calls."""

    def __init__(self, folder: Path, plan: Plan, postgres: Server | None) -> None:
        self.folder = folder
        self.plan = plan
        self.postgres = postgres
        self.documents = Documents()
        self.cores = sorted(os.sched_getaffinity(0))
        issued = trusted_issuer().claims()["iat"]
        token = trusted_issuer().token(tenant=TENANT, exp=issued + _TOKEN_SECONDS)
        self.caller = {"authorization": f"Bearer {token}", "x-twc-tenant": TENANT}

    @property
    def behind_gateway(self) -> list[int]:
        """The cores for servers behind a gateway, which takes one for itself."""
        return self.cores[:-1] or self.cores

    @cached_property
    def customers(self) -> list[Customer]:
        """The customers that every database begins with."""
        return [self.documents.stored(number) for number in range(self.plan.customers)]

    @cached_property
    def lengths(self) -> dict[str, list[int]]:
        """The bytes of the customers, by the transport that they come over."""
        return {
            "REST": [
                len(to_json(customer, is_answer=True).encode()) for customer in self.customers
            ],
            "gRPC": [customer.ByteSize() for customer in self.customers],
        }

    @cached_property
    def database_pids(self) -> list[int]:
        """PostgreSQL's first process, which has started all others, if it is on this machine."""
        if self.postgres is None:
            return []
        with psycopg.connect(self.postgres.url) as connection:
            pid = connection.info.backend_pid
        parent = psutil.Process(pid).parent() if psutil.pid_exists(pid) else None
        return [parent.pid] if parent and parent.name() == "postgres" else []

    def settings(self, **more: Any) -> GatewaySettings:
        """Settings of a service that believes the caller's token; all others are the defaults."""
        trusted = {"issuer": trust()["issuer"], "jwks": trust()["jwks"], "audience": AUDIENCE}
        return GatewaySettings(**trusted | more)


def environment(settings: Settings) -> Mapping[str, str]:
    """The environment of a process with those settings."""
    # What tests set for themselves is not what the service runs with.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GRPC_")}
    return inherited | settings.environment()


def forget_shell() -> None:
    """Keeps what the shell sets for a service, be it its DATABASE_URL, from all contenders."""
    for name in list(os.environ):
        if name.lower() in GatewaySettings.model_fields:
            del os.environ[name]
