"""Starts the service, a server and Envoy in front of it, from the process of the tests."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from tests.support.client import as_tenant
from tests.support.tokens import trust
from tests.support.way_to_serve import SERVE
from twc_customer_gateway import config
from twc_customer_gateway.settings import GatewaySettings
from twc_customer_gateway.supervisor.stack import Stack

StackFactory = Callable[..., AbstractContextManager[Stack]]


def http_headers(tenant: str) -> dict[str, str]:
    """Returns the headers of a REST request for a tenant."""
    return {name: str(value) for name, value in as_tenant(tenant)}


@contextmanager
def prepared(
    database: dict[str, Any], pause: Callable[[float], None] = time.sleep, **settings: Any
) -> Iterator[Stack]:
    """Yields a service on a database, with other settings as given, which is not started."""
    own: dict[str, Any] = {"gateway_port": 0, "grpc_port": 0, "serve": SERVE}
    chosen = GatewaySettings(**own | trust() | database | settings)
    with tempfile.TemporaryDirectory(prefix="twc-") as name:
        folder = Path(name)
        config.write_all(chosen, folder)
        yield Stack(folder, chosen.environment(), pause)


@contextmanager
def running(database: dict[str, Any], **settings: Any) -> Iterator[Stack]:
    """Runs a service on a database, with other settings as given."""
    with prepared(database, **settings) as stack, stack:
        yield stack
