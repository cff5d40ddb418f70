"""What a lookup asks for: its parameters in comparable form, and its pages."""

from typing import NamedTuple
from urllib.parse import urlencode
from uuid import UUID

from twc.customer.v2 import customer_service_pb2 as pb

from twc_customer_server.api import page_tokens
from twc_customer_server.customers import contact, text
from twc_customer_server.errors import InvalidInput, Violation
from twc_customer_server.storage import keys

DEFAULT_PAGE = 100
LARGEST_PAGE = 1000

_PARAMETERS = ("email", "first_name", "last_name", "mobile", "phone")
_JSON_NAMES = {field.name: field.json_name for field in pb.LookupCustomersRequest.DESCRIPTOR.fields}

# gRPC peers accept 8 KiB of headers; names of a thousand characters would
# make a longer link. The token is there all the same.
_LINK_LENGTH = 4096


class Lookup(NamedTuple):
    """A lookup ready to run: the wanted value of each parameter, the page size, where to go on."""

    wanted: dict[str, str]
    size: int
    after: str


def read(request: pb.LookupCustomersRequest, tenant: str, region: str | None) -> Lookup:
    """Reads a request. Raises InvalidInput with everything that is wrong with it."""
    violations: list[Violation] = []
    wanted: dict[str, str] = {}
    for name in _PARAMETERS:
        if request.HasField(name):
            try:
                wanted[name] = _comparable(name, getattr(request, name), region)
            except ValueError as error:
                violations.append(Violation(_JSON_NAMES[name], str(error)))
    if not wanted and not violations:
        violations.append(
            Violation("email", "is required, or firstName, lastName, mobile or phone")
        )
    if request.page_size < 0:
        violations.append(Violation("pageSize", f"must be from 1 to {LARGEST_PAGE:,}"))
    after = ""
    if request.page_token:
        try:
            after = _after(request.page_token, tenant, wanted)
        except ValueError as error:
            violations.append(Violation("pageToken", str(error)))
    if violations:
        raise InvalidInput(violations)
    return Lookup(wanted, min(request.page_size or DEFAULT_PAGE, LARGEST_PAGE), after)


def page_token(tenant: str, wanted: dict[str, str], last_id: str) -> str:
    """The token that continues a lookup after the customer with an id."""
    return page_tokens.make(_scope(tenant, wanted), last_id)


def page_headers(request: pb.LookupCustomersRequest, token: str) -> list[tuple[str, str]]:
    """The response headers of a page that another follows: its token, and its link (RFC 8288)."""
    query = {_JSON_NAMES[field.name]: value for field, value in request.ListFields()}
    link = f"/api/v2/customers/search?{urlencode(query | {'pageToken': token})}"
    headers = [("x-next-page-token", token)]
    if len(link) <= _LINK_LENGTH:
        headers.append(("link", f'<{link}>; rel="next"'))
    return headers


def _comparable(name: str, value: str, region: str | None) -> str:
    if not value.strip():
        raise ValueError("must not be empty; leave it out to match any")
    if wrong := text.describe(value):
        raise ValueError(wrong)
    if name in ("first_name", "last_name"):
        return keys.name_key(value)
    if name == "email":
        # Where a query was not percent-encoded, a plus sign arrives as a space.
        email = value.strip().replace(" ", "+")
        if not contact.is_email(email):
            raise ValueError(contact.NOT_AN_EMAIL)
        return keys.email_key(email)
    return contact.to_e164("+" + value[1:] if value[0] == " " else value, region)


def _after(token: str, tenant: str, wanted: dict[str, str]) -> str:
    try:
        read = page_tokens.read(token)
        last_id = str(UUID(read.place))
    except ValueError as error:
        raise ValueError("must be a page token as a page before gave it") from error
    if not read.is_for(_scope(tenant, wanted)):
        raise ValueError("belongs to another lookup; repeat the parameters it was given for")
    return last_id


def _scope(tenant: str, wanted: dict[str, str]) -> tuple[object, ...]:
    return (tenant, sorted(wanted.items()))
