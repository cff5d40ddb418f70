"""The API on FastAPI, with any store, served by uvicorn on uvloop and httptools.

Handlers are plain functions, which FastAPI runs in threads, as its users do
with a database driver that blocks. Answers are models that Pydantic writes in
its compiled core, which FastAPI advises above all else; the handlers have it do
so themselves, because FastAPI would go to a thread a second time for it, which
costs a sixth of a GET. The dependency that tells the tenant is a coroutine: once
the issuer's keys are known it waits for nothing, and a thread would cost more
than it does. What is told of requests is plain ASGI middleware, without the cost
of Starlette's base class.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any, Protocol

import anyio.to_thread
import uvicorn
from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import make_asgi_app

from bench.peers import errors
from bench.peers.answers import write, write_list
from bench.peers.models import Changes, New
from bench.peers.rules import wanted
from bench.peers.sqlite import THREADS
from bench.peers.telemetry import Identity, Telemetry
from twc_customer_server.settings import Settings


class Store(Protocol):
    """Customers in a database, as rows that `answers.write` takes."""

    def get(self, tenant: str, customer_id: str) -> Any | None:
        """The customer with an id."""

    def search(self, tenant: str, columns: Mapping[str, str]) -> list[Any]:
        """The customers with all values, by column."""

    def create(self, tenant: str, given: New, region: str | None) -> Any:
        """Stores a customer. Raises InvalidInput and AlreadyExists."""

    def update(self, tenant: str, given: Changes, region: str | None) -> Any:
        """Changes a customer. Raises NotFound, InvalidInput and AlreadyExists."""


@asynccontextmanager
async def _lifespan(_app: FastAPI) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    yield


def _answer(stored: Any, status: int = 200, *, many: bool = False) -> Response:
    body = write_list(stored) if many else write(stored)
    return Response(body, status, media_type="application/json")


async def _refuse(_request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, RequestValidationError):
        error = errors.invalid(error.errors())
    assert isinstance(error, errors.ServiceError)  # noqa: S101 - no other is registered
    status, body = errors.answer(error)
    return JSONResponse(body, status)


def create_app(store: Store) -> FastAPI:
    """Makes the application. Raises what `Settings` does of the environment."""
    settings = Settings()
    identity = Identity(settings)

    async def caller(request: Request) -> str:
        tenant = identity.tenant(request.scope["headers"])
        request.state.tenant = tenant
        return tenant

    tenant_of = Annotated[str, Depends(caller)]
    app = FastAPI(lifespan=_lifespan, openapi_url=None)
    app.add_middleware(Telemetry)
    app.add_exception_handler(errors.ServiceError, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse)
    app.mount("/metrics", make_asgi_app())

    @app.get("/api/v2/customers/search")
    def search(
        tenant: tenant_of,
        email: str | None = None,
        firstName: str | None = None,
        lastName: str | None = None,
        mobile: str | None = None,
        phone: str | None = None,
    ) -> Response:
        parameters = {
            "email": email,
            "firstName": firstName,
            "lastName": lastName,
            "mobile": mobile,
            "phone": phone,
        }
        return _answer(store.search(tenant, wanted(parameters, settings.region(tenant))), many=True)

    @app.get("/api/v2/customers/{customer_id}")
    def get_customer(customer_id: str, tenant: tenant_of) -> Response:
        found = store.get(tenant, customer_id)
        return Response(status_code=204) if found is None else _answer(found)

    @app.post("/api/v2/customers")
    def create_customer(tenant: tenant_of, customer: New) -> Response:
        return _answer(store.create(tenant, customer, settings.region(tenant)), 201)

    @app.put("/api/v2/customers")
    def update_customer(tenant: tenant_of, customer: Changes) -> Response:
        return _answer(store.update(tenant, customer, settings.region(tenant)))

    return app


def serve(store: Store, port: int) -> None:
    """Serves a store until SIGTERM."""
    uvicorn.run(
        create_app(store),
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        log_config=None,
        log_level="warning",
        access_log=False,
    )
