"""Parses what selects one customer: an id, a reference, an e-mail address, or a named key."""

from collections.abc import Callable

from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from twc_customer_server.customers import emails, fields
from twc_customer_server.errors import InvalidInput, Violation
from twc_customer_server.middleware.rpc import Call
from twc_customer_server.storage import rows
from twc_customer_server.storage.rows import Key

# The path that a REST client called, as the gateway tells.
_PATH_HEADER = "x-envoy-original-path"


def parse_id(field: str, text: str) -> str:
    """Returns an id as it is stored. Raises InvalidInput, which names the field."""
    try:
        return fields.parse_id(_required(field, text))
    except ValueError as error:
        raise InvalidInput([Violation(field, str(error))]) from error


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
    own = {
        "id": customer.id,
        "customerRef": customer.customer_ref,
        "email": customer.email and rows.email_key(customer.email.strip()),
    }[name]
    if own and own != key.value:
        raise InvalidInput(
            [Violation(name, f"must be the {name} in the path, or left out; id= selects by id")]
        )
    return key


def _required(field: str, value: str) -> str:
    if not value:
        raise InvalidInput([Violation(field, "is required")])
    return value
