"""Litestar with msgspec and plain SQL, served by Granian: the peer optimized for speed.

Reads run on the event loop, because they take SQLite microseconds and in WAL mode
never wait for a lock. Writes wait for the disk, and so run in threads. Litestar
parses bodies into msgspec structs; stored JSON is sent as it is (`json_store`).
"""

import functools
from pathlib import Path
from typing import Any

from granian import Granian
from granian.constants import HTTPModes, Interfaces, Loops
from granian.log import LogLevels
from litestar import Litestar, MediaType, Request, Response, Router, get, post, put
from litestar.di import Provide
from litestar.exceptions import ValidationException
from prometheus_client import generate_latest

from bench.peers import command, rules
from bench.peers.error_responses import InvalidInput, ServiceError, Violation, to_response
from bench.peers.json_store import Customers, seed
from bench.peers.msgspec_models import CustomerUpdate, NewCustomer
from bench.peers.telemetry import Authentication, Telemetry


def _error_response(_request: Any, error: ServiceError) -> Any:
    status, body = to_response(error)
    return Response(body, status_code=status)


def _validation_response(request: Any, error: ValidationException) -> Any:
    problems = error.extra if isinstance(error.extra, list) else [{"message": error.detail}]
    return _error_response(request, InvalidInput([_violation(each) for each in problems]))


def _violation(problem: dict[str, Any]) -> Violation:
    """Returns the violation for a problem that Litestar reports."""
    field, message = str(problem.get("key", "data")), str(problem["message"])
    if field == "data":
        # The struct's own check puts the name of the field before its message.
        field, _, message = message.rpartition(": ")
    return Violation(field or "customer", message)


def _json(body: bytes, status: int = 200) -> Any:
    return Response(body, status_code=status, media_type=MediaType.JSON)


def create_app(path: Path) -> Any:
    """Returns the application. Raises the errors of `Settings` for the environment."""
    authentication = Authentication()
    customers = Customers(path)

    def authenticate(request: Request) -> str:
        tenant = authentication.tenant(request.scope["headers"])
        request.state.tenant = tenant
        return tenant

    @get("/customers/search", sync_to_thread=False)
    def search(
        tenant: str,
        email: str | None = None,
        firstName: str | None = None,
        lastName: str | None = None,
        mobile: str | None = None,
        phone: str | None = None,
    ) -> Response[bytes]:
        region = authentication.region(tenant)
        columns = rules.search_filter(
            region, email=email, firstName=firstName, lastName=lastName, mobile=mobile, phone=phone
        )
        return _json(customers.search(tenant, columns))

    @get("/customers/{customer_id:str}", sync_to_thread=False)
    def get_customer(tenant: str, customer_id: str) -> Response[bytes]:
        found = customers.get(tenant, customer_id)
        return _json(b"", 204) if found is None else _json(found)

    @post("/customers", sync_to_thread=True)
    def create_customer(tenant: str, data: NewCustomer) -> Response[bytes]:
        return _json(customers.create(tenant, data, authentication.region(tenant)), 201)

    @put("/customers", sync_to_thread=True)
    def update_customer(tenant: str, data: CustomerUpdate) -> Response[bytes]:
        return _json(customers.update(tenant, data, authentication.region(tenant)))

    @get("/metrics", sync_to_thread=False)
    def metrics() -> Response[bytes]:
        return Response(generate_latest(), media_type=MediaType.TEXT)

    api = Router(
        "/api/v2",
        route_handlers=[search, get_customer, create_customer, update_customer],
        dependencies={"tenant": Provide(authenticate, sync_to_thread=False)},
    )
    return Litestar(
        [api, metrics],
        exception_handlers={
            ServiceError: _error_response,
            ValidationException: _validation_response,
        },
        logging_config=None,
        middleware=[Telemetry],
        openapi_config=None,
    )


def serve(path: Path, port: int) -> None:
    """Serves a database until SIGTERM."""
    server = Granian(
        "bench.peers.litestar_granian:create_app",
        port=port,
        interface=Interfaces.ASGI,
        loop=Loops.uvloop,
        http=HTTPModes.http1,
        websockets=False,
        log_level=LogLevels.warning,
    )
    server.serve(target_loader=functools.partial(create_app, path), wrap_loader=False)


if __name__ == "__main__":
    command.run(command.Peer("litestar_granian", seed, serve))
