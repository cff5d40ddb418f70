"""FastAPI with SQLAlchemy (`sqlalchemy_store`), served by uvicorn with uvloop and httptools.

Handlers are synchronous functions, which FastAPI runs in threads, as is usual
with a blocking database driver. Pydantic's compiled core serializes responses, as
FastAPI advises; the handlers call it themselves, because FastAPI would switch to
a thread a second time, which takes a sixth of a GET. The dependency that
authenticates is a coroutine: once the issuer's keys are cached it does not block,
and a thread would cost more. Telemetry is plain ASGI middleware, without the
overhead of Starlette's base class.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import anyio.to_thread
import uvicorn
from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import make_asgi_app

from bench.peers import command, error_responses
from bench.peers.pydantic_models import CustomerUpdate, NewCustomer
from bench.peers.responses import serialize, serialize_list
from bench.peers.rules import search_filter
from bench.peers.sqlalchemy_store import Customers, seed
from bench.peers.table import THREADS
from bench.peers.telemetry import Authentication, Telemetry


@asynccontextmanager
async def _lifespan(_app: FastAPI) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    yield


def _response(rows: Any, status: int = 200, *, many: bool = False) -> Response:
    body = serialize_list(rows) if many else serialize(rows)
    return Response(body, status, media_type="application/json")


async def _error_response(_request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, RequestValidationError):
        error = error_responses.invalid_input(error.errors())
    assert isinstance(error, error_responses.ServiceError)  # noqa: S101 - no other is registered
    status, body = error_responses.to_response(error)
    return JSONResponse(body, status)


def create_app(store: Customers) -> FastAPI:
    """Returns the application. Raises the errors of `Settings` for the environment."""
    authentication = Authentication()

    async def authenticate(request: Request) -> str:
        tenant = authentication.tenant(request.scope["headers"])
        request.state.tenant = tenant
        return tenant

    Tenant = Annotated[str, Depends(authenticate)]  # noqa: N806 - a type
    app = FastAPI(lifespan=_lifespan, openapi_url=None)
    app.add_middleware(Telemetry)
    app.add_exception_handler(error_responses.ServiceError, _error_response)
    app.add_exception_handler(RequestValidationError, _error_response)
    app.mount("/metrics", make_asgi_app())

    @app.get("/api/v2/customers/search")
    def search(
        tenant: Tenant,
        email: str | None = None,
        firstName: str | None = None,
        lastName: str | None = None,
        mobile: str | None = None,
        phone: str | None = None,
    ) -> Response:
        region = authentication.region(tenant)
        columns = search_filter(
            region, email=email, firstName=firstName, lastName=lastName, mobile=mobile, phone=phone
        )
        return _response(store.search(tenant, columns), many=True)

    @app.get("/api/v2/customers/{customer_id}")
    def get_customer(customer_id: str, tenant: Tenant) -> Response:
        found = store.get(tenant, customer_id)
        return Response(status_code=204) if found is None else _response(found)

    @app.post("/api/v2/customers")
    def create_customer(tenant: Tenant, customer: NewCustomer) -> Response:
        return _response(store.create(tenant, customer, authentication.region(tenant)), 201)

    @app.put("/api/v2/customers")
    def update_customer(tenant: Tenant, customer: CustomerUpdate) -> Response:
        return _response(store.update(tenant, customer, authentication.region(tenant)))

    return app


def serve(path: Path, port: int) -> None:
    """Serves a database until SIGTERM."""
    uvicorn.run(
        create_app(Customers(path)),
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        log_config=None,
        log_level="warning",
        access_log=False,
    )


if __name__ == "__main__":
    command.run(command.Peer("fastapi_app", seed, serve))
