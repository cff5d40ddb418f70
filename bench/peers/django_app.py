"""The API on Django and django-ninja."""

import time
from collections.abc import Callable
from typing import Any

from django.core.handlers.wsgi import WSGIHandler
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from ninja import NinjaAPI
from ninja.errors import ValidationError
from ninja.parser import Parser
from prometheus_client import generate_latest
from pydantic_core import from_json

from bench.peers import errors, records, rules
from bench.peers.answers import write, write_list
from bench.peers.django_model import Customer
from bench.peers.models import Changes, New
from bench.peers.sqlite import WRITING
from bench.peers.telemetry import Identity, account
from twc_customer_server.settings import Settings

_settings = Settings()
_identity = Identity(_settings)


class _Parser(Parser):
    """Reads JSON with Pydantic's core, as django-ninja lets a faster reader be set."""

    def parse_body(self, request: HttpRequest) -> Any:
        """The body of a request."""
        return from_json(request.body)


def telemetry(answer: Callable[[HttpRequest], HttpResponse]) -> Callable[..., HttpResponse]:
    """Middleware that accounts for every request."""

    def handle(request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        response = answer(request)
        tenant = getattr(request, "auth", "")
        route = request.resolver_match.route if request.resolver_match else ""
        request_id = request.META.get("HTTP_X_REQUEST_ID", "")
        account(started, request_id, tenant, request.method, route, response.status_code)
        return response

    return handle


def _tenant(request: HttpRequest) -> str:
    return _identity.tenant(
        (name, request.META[key].encode("latin-1"))
        for name, key in (
            (b"authorization", "HTTP_AUTHORIZATION"),
            (b"x-twc-tenant", "HTTP_X_TWC_TENANT"),
        )
        if key in request.META
    )


api = NinjaAPI(auth=_tenant, docs_url=None, openapi_url=None, parser=_Parser())


@api.exception_handler(errors.ServiceError)
def _refuse(_request: HttpRequest, error: errors.ServiceError) -> HttpResponse:
    status, body = errors.answer(error)
    return JsonResponse(body, status=status)


@api.exception_handler(ValidationError)
def _refuse_body(request: HttpRequest, error: ValidationError) -> HttpResponse:
    return _refuse(request, errors.invalid(error.errors))


def _answer(body: bytes, status: int = 200) -> HttpResponse:
    length = {"Content-Length": str(len(body))}
    return HttpResponse(body, status=status, content_type="application/json", headers=length)


@api.get("/customers/search")
def search(
    request: HttpRequest,
    email: str | None = None,
    firstName: str | None = None,
    lastName: str | None = None,
    mobile: str | None = None,
    phone: str | None = None,
) -> HttpResponse:
    """The customers that match all parameters."""
    parameters = {
        "email": email,
        "firstName": firstName,
        "lastName": lastName,
        "mobile": mobile,
        "phone": phone,
    }
    wanted = rules.wanted(parameters, _settings.region(request.auth))
    found = Customer.objects.filter(tenant=request.auth, **wanted).order_by("id")
    return _answer(write_list(list(found[: records.PAGE])))


@api.get("/customers/{customer_id}")
def get_customer(request: HttpRequest, customer_id: str) -> HttpResponse:
    """The customer with an id; 204 if there is none."""
    found = Customer.objects.filter(tenant=request.auth, id=customer_id)[:1]
    return _answer(write(found[0])) if found else HttpResponse(status=204)


@api.post("/customers")
def create_customer(request: HttpRequest, customer: New) -> HttpResponse:
    """Stores a customer."""
    new = rules.new(customer.given(), _settings.region(request.auth))
    row = Customer(**records.values(request.auth, new))
    try:
        with WRITING:
            row.save(force_insert=True)
    except IntegrityError as error:
        raise _taken(row, error) from None
    return _answer(write(row), 201)


@api.put("/customers")
def update_customer(request: HttpRequest, customer: Changes) -> HttpResponse:
    """Changes a customer."""
    key = customer.key()
    row = None
    try:
        with WRITING, transaction.atomic():
            row = Customer.objects.filter(tenant=request.auth, **key).first()
            if row is None:
                raise errors.missing(*key)
            stored = records.customer(row)
            after = rules.changed(stored, customer.given(), _settings.region(request.auth))
            changes = records.changes(request.auth, stored, after)
            for column, value in changes.items():
                setattr(row, column, value)
            row.save(update_fields=changes)
    except IntegrityError as error:
        raise _taken(row, error) from None
    return _answer(write(row))


def _taken(row: Any, error: IntegrityError) -> Exception:
    column = errors.taken_column(error)
    same = Customer.objects.filter(tenant=row.tenant, **{column: getattr(row, column)})
    return errors.taken(column, same.values_list("id", flat=True).first())


def _metrics(_request: HttpRequest) -> HttpResponse:
    return HttpResponse(generate_latest(), content_type="text/plain")


urlpatterns = [path("api/v2/", api.urls), path("metrics", _metrics)]
application = WSGIHandler()
