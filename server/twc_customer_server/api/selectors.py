"""Parses which customer a request is for, and in which state that must be.

An id, a reference, an e-mail address or a named key selects it; If-Match and If-None-Match
name its entity tag (RFC 9110, section 13).
"""

import hashlib
import re
from collections.abc import Callable
from functools import partial

from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from twc_customer_server.customers import emails
from twc_customer_server.errors import EtagMismatch, InvalidInput, Violation
from twc_customer_server.middleware.rpc import Call
from twc_customer_server.storage import rows
from twc_customer_server.storage.rows import Key

# The path that a REST client called, as the gateway tells.
_PATH_HEADER = "x-envoy-original-path"

_REQUIRED = "is required"
_NOT_AN_ID = "must be an id, a UUID such as 01938f6e-54a1-7c3e-9b0d-2f6a8c4e1b7d"
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII).fullmatch

_ETAG_BYTES = 12

# Weak or not: a gateway that compresses a response makes its tag weak.
_ETAGS = re.compile(r'"[^"]*"')
_TAGS_REQUIRED = (
    "must be entity tags, in the double quotes that they have in ETag, or * for any customer"
)


def parse_id(field: str, text: str) -> str:
    """Returns an id as it is stored: a UUID is the same in either case (RFC 9562, section 4).

    Raises InvalidInput, which names the field.
    """
    customer_id = text.lower()
    if not _UUID(customer_id):
        raise InvalidInput([Violation(field, _NOT_AN_ID if text else _REQUIRED)])
    return customer_id


def parse_email(text: str) -> str:
    """Returns an e-mail address to compare. Raises ValueError if the text is none."""
    email = text.strip()
    # A plus sign that was not percent-encoded arrives as a space; within quotes it may be one.
    if not email.startswith('"'):
        email = email.replace(" ", "+")
    # An address that is stored is found, whatever the setting is now.
    if problem := emails.problem(email, accept_dots=True):
        raise ValueError(problem)
    return email


def of_id(text: str) -> Key:
    """Selects the customer with an id. Raises InvalidInput."""
    return Key.id(parse_id("id", text))


def of_ref(text: str) -> Key:
    """Selects the customer with a reference. Raises InvalidInput."""
    return Key.ref(_required("customerRef", text))


def of_alternate_ref(text: str) -> Key:
    """Selects the customer with an alternate reference. Raises InvalidInput."""
    return Key.alternate_ref(_required("alternateCustomerRef", text))


def of_email(text: str) -> Key:
    """Selects the customer with an e-mail address. Raises InvalidInput."""
    try:
        return Key.email(parse_email(_required("email", text)))
    except ValueError as error:
        raise InvalidInput([Violation("email", str(error))]) from error


# The names that a key may have, and what it selects then.
_BY_NAME: dict[str, Callable[[str], Key]] = {"id": of_id, "customerRef": of_ref, "email": of_email}


def of_update(request: pb.UpdateCustomerRequest) -> Key:
    """Selects the customer of an update: by its key, else by the customer's id or reference.

    The id of the customer is in the form that is stored afterwards. Raises InvalidInput.
    """
    customer = request.customer
    if customer.id:
        customer.id = parse_id("id", customer.id)
    if request.key:
        return _of_key(request.key, customer)
    if customer.id:
        return Key.id(customer.id)
    if customer.customer_ref:
        return Key.ref(customer.customer_ref)
    raise InvalidInput([Violation("id", "is required, or customerRef, to select the customer")])


def location(call: Call, customer_id: str) -> list[tuple[str, str]]:
    """Returns the header with the place of a new customer, for a REST client.

    It is relative to the path that was called, so that a prefix before it does not matter.
    """
    path = call.header(_PATH_HEADER)
    if path is None:
        return []
    is_folder = path.partition("?")[0].endswith("/")
    return [("location", customer_id if is_folder else f"customers/{customer_id}")]


def etag(body: bytes) -> str:
    """Returns the entity tag of a stored customer, which every change of it changes (RFC 9110)."""
    return f'"{hashlib.blake2b(body, digest_size=_ETAG_BYTES).hexdigest()}"'


def matches(condition: str, tag: str) -> bool:
    """Tells whether If-Match or If-None-Match names an entity tag, or any."""
    return condition.strip() == "*" or tag in _ETAGS.findall(condition)


def require_match(condition: str, body: bytes) -> None:
    """Raises EtagMismatch unless If-Match names the entity tag of a stored customer."""
    if not matches(condition, etag(body)):
        raise EtagMismatch


def precondition_of(call: Call) -> Callable[[bytes], None] | None:
    """Returns the check of a stored customer by If-Match, if the call has that.

    Raises InvalidInput if it names no entity tag.
    """
    condition = call.header("if-match")
    if condition is None:
        return None
    if condition.strip() != "*" and not _ETAGS.search(condition):
        raise InvalidInput([Violation("If-Match", _TAGS_REQUIRED)])
    return partial(require_match, condition)


def respond_unless_cached(body: bytes, call: Call) -> bytes:
    """Responds with a stored customer, or with 304 if If-None-Match names its entity tag."""
    tag = etag(body)
    condition = call.header("if-none-match")
    if condition is not None and matches(condition, tag):
        call.set_status(304, ("etag", tag))
        return b""
    call.set_status(200, ("etag", tag))
    return body


def _of_key(text: str, customer: Customer) -> Key:
    """Selects by a key such as `customerRef=A-1`, with which the customer must agree."""
    name, has_name, value = text.partition("=")
    if not has_name:
        name, value = "id", text
    select = _BY_NAME.get(name)
    if select is None:
        raise InvalidInput(
            [Violation("key", "must be id=, customerRef= or email= and the value, or an id")]
        )
    key = select(value)
    if name == "email":
        own = customer.email and rows.email_key(customer.email.strip())
    else:
        own = customer.id if name == "id" else customer.customer_ref
    if own and own != key.value:
        raise InvalidInput(
            [Violation(name, f"must be the {name} in the path, or left out; id= selects by id")]
        )
    return key


def _required(field: str, value: str) -> str:
    if not value:
        raise InvalidInput([Violation(field, _REQUIRED)])
    return value
