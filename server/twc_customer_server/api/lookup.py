"""Parses the request of a lookup, and builds the headers of its pages."""

import re
from typing import NamedTuple
from urllib.parse import urlencode
from uuid import UUID

from twc.customer.v2 import customer_service_pb2 as pb

from twc_customer_server.api import page_tokens, selectors
from twc_customer_server.customers import fields, phones
from twc_customer_server.errors import InvalidInput, Violation
from twc_customer_server.storage import rows

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000

_PARAMETERS = ("email", "first_name", "last_name", "mobile", "phone")
_JSON_NAMES = {field.name: field.json_name for field in pb.LookupCustomersRequest.DESCRIPTOR.fields}

_E164 = re.compile(r"\+[1-9][0-9]{3,14}").fullmatch

# gRPC peers accept 8 KiB of headers: a longer link is left out, the token is not.
_MAX_LINK_LENGTH = 4096


class Lookup(NamedTuple):
    """The query of a lookup: the wanted key of each field, the page size, the last id before."""

    wanted: dict[str, str]
    size: int
    after: str


def parse(request: pb.LookupCustomersRequest, tenant: str, region: str | None) -> Lookup:
    """Parses a request. Raises InvalidInput with all violations."""
    violations: list[Violation] = []
    wanted: dict[str, str] = {}
    for name in _PARAMETERS:
        if request.HasField(name):
            try:
                wanted[name] = _key(name, getattr(request, name), region)
            except ValueError as error:
                violations.append(Violation(_JSON_NAMES[name], str(error)))
    if not wanted and not violations:
        violations.append(
            Violation("email", "is required, or firstName, lastName, mobile or phone")
        )
    if request.page_size < 0:
        violations.append(Violation("pageSize", f"must be from 1 to {MAX_PAGE_SIZE:,}"))
    after = ""
    if request.page_token:
        try:
            after = _after(request.page_token, tenant, wanted)
        except ValueError as error:
            violations.append(Violation("pageToken", str(error)))
    if violations:
        raise InvalidInput(violations)
    return Lookup(wanted, min(request.page_size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE), after)


def page_token(tenant: str, wanted: dict[str, str], last_id: str) -> str:
    """Returns the token that continues a lookup after the customer with an id."""
    return page_tokens.make(_scope(tenant, wanted), last_id)


def page_headers(request: pb.LookupCustomersRequest, token: str) -> list[tuple[str, str]]:
    """Returns the headers of a page that another follows: its token, and its link (RFC 8288)."""
    query = {_JSON_NAMES[field.name]: value for field, value in request.ListFields()}
    # Relative, so that a prefix before the path does not matter (RFC 3986, section 4.2).
    link = f"?{urlencode(query | {'pageToken': token})}"
    headers = [("x-next-page-token", token)]
    if len(link) <= _MAX_LINK_LENGTH:
        headers.append(("link", f'<{link}>; rel="next"'))
    return headers


def _key(name: str, value: str, region: str | None) -> str:
    if not value.strip():
        raise ValueError("must not be empty; leave it out to match any")
    if problem := fields.text_problem(value):
        raise ValueError(problem)
    if name in ("first_name", "last_name"):
        return rows.name_key(value)
    if name == "email":
        return rows.email_key(selectors.parse_email(value))
    number = "+" + value[1:] if value[0] == " " else value
    try:
        return phones.to_e164(number, region)
    except ValueError:
        # A number that was stored before a rule refused it is found as it is stored.
        if _E164(number):
            return number
        raise


def _after(token: str, tenant: str, wanted: dict[str, str]) -> str:
    try:
        parsed = page_tokens.parse(token)
        last_id = str(UUID(parsed.place))
    except ValueError as error:
        raise ValueError("must be the x-next-page-token of an earlier page") from error
    if not parsed.is_for(_scope(tenant, wanted)):
        raise ValueError("belongs to another lookup; repeat the parameters of that one")
    return last_id


def _scope(tenant: str, wanted: dict[str, str]) -> tuple[object, ...]:
    return (tenant, sorted(wanted.items()))
