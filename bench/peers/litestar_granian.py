"""Litestar with msgspec and plain SQL, served by granian: the one made for speed.

What reads runs on the event loop, because SQLite in WAL mode has no reader wait
and answers in microseconds; what writes waits for the disk, and so runs in a
thread. Bodies are read into msgspec structs by Litestar itself; what is stored
is sent as it is (`json_store`).
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

from bench.peers import command, errors, rules
from bench.peers.json_store import Customers, seed
from bench.peers.structs import Changes, New
from bench.peers.telemetry import Identity, Telemetry
from twc_customer_server.settings import Settings


def _refuse(_request: Any, error: errors.ServiceError) -> Any:
    status, body = errors.answer(error)
    return Response(body, status_code=status)


def _refuse_body(request: Any, error: ValidationException) -> Any:
    told = error.extra if isinstance(error.extra, list) else [{"message": error.detail}]
    return _refuse(request, errors.InvalidInput([_violation(each) for each in told]))


def _violation(told: dict[str, Any]) -> errors.Violation:
    """What Litestar tells of a value; of the customer as a whole, the struct named the field."""
    field, message = str(told.get("key", "data")), str(told["message"])
    if field == "data":
        field, _, message = message.rpartition(": ")
    return errors.Violation(field or "customer", message)


def _json(body: bytes, status: int = 200) -> Any:
    return Response(body, status_code=status, media_type=MediaType.JSON)


def create_app(path: Path) -> Any:
    """Makes the application. Raises what `Settings` does of the environment."""
    settings = Settings()
    identity = Identity(settings)
    customers = Customers(path)

    def caller(request: Request) -> str:
        tenant = identity.tenant(request.scope["headers"])
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
        parameters = {
            "email": email,
            "firstName": firstName,
            "lastName": lastName,
            "mobile": mobile,
            "phone": phone,
        }
        return _json(customers.search(tenant, rules.wanted(parameters, settings.region(tenant))))

    @get("/customers/{customer_id:str}", sync_to_thread=False)
    def get_customer(tenant: str, customer_id: str) -> Response[bytes]:
        found = customers.get(tenant, customer_id)
        return _json(b"", 204) if found is None else _json(found)

    @post("/customers", sync_to_thread=True)
    def create_customer(tenant: str, data: New) -> Response[bytes]:
        return _json(customers.create(tenant, data, settings.region(tenant)), 201)

    @put("/customers", sync_to_thread=True)
    def update_customer(tenant: str, data: Changes) -> Response[bytes]:
        return _json(customers.update(tenant, data, settings.region(tenant)))

    @get("/metrics", sync_to_thread=False)
    def metrics() -> Response[bytes]:
        return Response(generate_latest(), media_type=MediaType.TEXT)

    api = Router(
        "/api/v2",
        route_handlers=[search, get_customer, create_customer, update_customer],
        dependencies={"tenant": Provide(caller, sync_to_thread=False)},
    )
    return Litestar(
        [api, metrics],
        exception_handlers={
            errors.ServiceError: _refuse,
            ValidationException: _refuse_body,
        },
        logging_config=None,
        middleware=[Telemetry],
        openapi_config=None,
    )


def serve(path: Path, port: int) -> None:
    """Serves a database file."""
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
