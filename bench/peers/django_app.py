"""The API on Django and django-ninja, imported after `django_ninja` has configured Django."""

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

from bench.peers import error_responses, rules, table
from bench.peers.django_model import Customer
from bench.peers.pydantic_models import CustomerUpdate, NewCustomer
from bench.peers.responses import serialize, serialize_list
from bench.peers.table import WRITE_LOCK
from bench.peers.telemetry import Authentication, record_request

_authentication = Authentication()


class _Parser(Parser):
    """Parses JSON with Pydantic's core, which is faster than django-ninja's default."""

    def parse_body(self, request: HttpRequest) -> Any:
        """Parses the body of a request."""
        return from_json(request.body)


def telemetry(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[..., HttpResponse]:
    """Django middleware that records every request."""

    def handle(request: HttpRequest) -> HttpResponse:
        started = time.perf_counter()
        response = get_response(request)
        tenant = getattr(request, "auth", "")
        route = request.resolver_match.route if request.resolver_match else ""
        request_id = request.META.get("HTTP_X_REQUEST_ID", "")
        record_request(started, request_id, tenant, request.method, route, response.status_code)
        return response

    return handle


def _tenant(request: HttpRequest) -> str:
    return _authentication.tenant(
        (name, request.META[key].encode("latin-1"))
        for name, key in (
            (b"authorization", "HTTP_AUTHORIZATION"),
            (b"x-twc-tenant", "HTTP_X_TWC_TENANT"),
        )
        if key in request.META
    )


api = NinjaAPI(auth=_tenant, docs_url=None, openapi_url=None, parser=_Parser())


@api.exception_handler(error_responses.ServiceError)
def _error_response(_request: HttpRequest, error: error_responses.ServiceError) -> HttpResponse:
    status, body = error_responses.to_response(error)
    return JsonResponse(body, status=status)


@api.exception_handler(ValidationError)
def _validation_response(request: HttpRequest, error: ValidationError) -> HttpResponse:
    return _error_response(request, error_responses.invalid_input(error.errors))


def _response(body: bytes, status: int = 200) -> HttpResponse:
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
    """Returns the customers that match all parameters."""
    region = _authentication.region(request.auth)
    columns = rules.search_filter(
        region, email=email, firstName=firstName, lastName=lastName, mobile=mobile, phone=phone
    )
    found = Customer.objects.filter(tenant=request.auth, **columns).order_by("id")
    return _response(serialize_list(list(found[: table.PAGE_SIZE])))


@api.get("/customers/{customer_id}")
def get_customer(request: HttpRequest, customer_id: str) -> HttpResponse:
    """Returns the customer with an id; 204 if there is none."""
    found = Customer.objects.filter(tenant=request.auth, id=customer_id)[:1]
    return _response(serialize(found[0])) if found else HttpResponse(status=204)


@api.post("/customers")
def create_customer(request: HttpRequest, customer: NewCustomer) -> HttpResponse:
    """Stores a customer."""
    new = rules.create(customer.members(), _authentication.region(request.auth))
    row = Customer(**table.to_row(request.auth, new))
    try:
        with WRITE_LOCK:
            row.save(force_insert=True)
    except IntegrityError as error:
        raise _conflict(row, error) from None
    return _response(serialize(row), 201)


@api.put("/customers")
def update_customer(request: HttpRequest, customer: CustomerUpdate) -> HttpResponse:
    """Changes a customer."""
    selector = customer.selector()
    row = None
    try:
        with WRITE_LOCK, transaction.atomic():
            row = Customer.objects.filter(tenant=request.auth, **selector).first()
            if row is None:
                raise error_responses.not_found(*selector)
            stored = table.from_row(row)
            region = _authentication.region(request.auth)
            after = rules.update(stored, customer.members(), region)
            changes = table.changed_columns(request.auth, stored, after)
            for column, value in changes.items():
                setattr(row, column, value)
            row.save(update_fields=changes)
    except IntegrityError as error:
        raise _conflict(row, error) from None
    return _response(serialize(row))


def _conflict(row: Any, error: IntegrityError) -> Exception:
    column = error_responses.conflicting_column(error)
    same = Customer.objects.filter(tenant=row.tenant, **{column: getattr(row, column)})
    return error_responses.already_exists(column, same.values_list("id", flat=True).first())


def _metrics(_request: HttpRequest) -> HttpResponse:
    return HttpResponse(generate_latest(), content_type="text/plain")


urlpatterns = [path("api/v2/", api.urls), path("metrics", _metrics)]
application = WSGIHandler()
