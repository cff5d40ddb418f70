"""What clients of the gateway see while calls hang in the database."""

from concurrent.futures import wait
from functools import partial
from typing import Any

import httpx

from tests.gateway.errors import Error, error_of
from tests.gateway.stacks import StackFactory, http_headers
from tests.support.backends import Backend, only
from tests.support.builders import NO_CUSTOMER
from tests.support.client import SECONDS
from tests.support.concurrency import in_background
from tests.support.http_client import http_client

# More than a tenant has threads.
CALLS = 20

# Between two looks at what others get.
_PAUSE_SECONDS = 0.05


@only("postgresql")
def test_deadline_of_the_gateway(
    start_stack: StackFactory, backend: Backend, own_database: dict[str, Any]
) -> None:
    """Calls that hang are 504 with the service's own error; others are served meanwhile."""
    with start_stack(database_timeout_seconds=SECONDS) as stack:
        origin = f"http://{stack.settings.bind}:{stack.settings.gateway_port}"

        def client(tenant: str) -> httpx.Client:
            return http_client(base_url=f"{origin}/api/v2", headers=http_headers(tenant))

        def create(number: int) -> Error:
            with client("hung") as http:
                return error_of(http.post("/customers", json={"email": f"{number}@example.com"}))

        with client("other") as other:
            assert other.get(NO_CUSTOMER).status_code == 204
            with backend.held(own_database):
                created = in_background([partial(create, number) for number in range(CALLS)])
                while wait(created, _PAUSE_SECONDS).not_done:
                    assert other.get(f"{origin}/healthz").status_code == 200
                    assert other.get(NO_CUSTOMER).status_code == 204
            assert other.get(f"{origin}/healthz").status_code == 200
    late = Error(504, 4, "DEADLINE_EXCEEDED", [])
    assert [it.result() for it in created] == [late] * CALLS
