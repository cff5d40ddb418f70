"""Maps a customer to its row: the values of all columns, and the keys of compared texts."""

import hashlib
import re
import unicodedata
from typing import Any, NamedTuple, Self

import idna
from twc.customer.v2.customer_pb2 import Customer

from twc_customer_server.storage import folding

# A B-tree key of PostgreSQL holds about 2,700 bytes, an index has several keys,
# and a text of PostgreSQL cannot hold NUL. Other texts are compared by a digest,
# which begins with a character that no valid text has.
MAX_KEY_BYTES = 512
_SHORT_LENGTH = MAX_KEY_BYTES // len("\U0010ffff".encode())
_DIGEST_PREFIX = "\x02"

# No stored name or e-mail address is longer. Folding can take quadratic time.
_LONGEST_FOLDED = 1024

_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)


class Key(NamedTuple):
    """The field that selects one customer, by its JSON name, and the value."""

    field: str
    value: str

    @property
    def exact(self) -> str:
        """The value as it is compared."""
        return exact_key(self.value)

    @classmethod
    def id(cls, value: str) -> Self:
        """Selects the customer with an id."""
        return cls("id", value)

    @classmethod
    def ref(cls, value: str) -> Self:
        """Selects the customer with a customerRef."""
        return cls("customerRef", value)

    @classmethod
    def alternate_ref(cls, value: str) -> Self:
        """Selects the customer with an alternateCustomerRef."""
        return cls("alternateCustomerRef", value)

    @classmethod
    def email(cls, value: str) -> Self:
        """Selects the customer with an e-mail address, in any spelling of it."""
        return cls("email", email_key(value))


class Status(NamedTuple):
    """The fields of a customer that have few values, and a number for them."""

    state: int
    active: bool
    accepts_marketing: bool

    @classmethod
    def of(cls, customer: Customer) -> Self:
        """Returns the status of a customer, with defaults for what is not set."""
        active = customer.active or not customer.HasField("active")
        state = customer.customerState or Customer.disabled
        return cls(state, active, customer.accepts_marketing)

    @property
    def number(self) -> int:
        """The number, which is stored."""
        return self.state << 2 | self.active << 1 | self.accepts_marketing


def new_row(tenant: str, customer: Customer) -> dict[str, Any]:
    """Returns the values of all columns of a new customer, by name; its change has no number."""
    return {
        "tenant": tenant,
        "created_at": customer.created_date.ToMilliseconds(),
        "change_sequence": None,
        **changed_columns(customer),
    }


def changed_columns(customer: Customer) -> dict[str, Any]:
    """Returns the id of a customer and the values of the columns that an update writes."""
    unique = unique_keys(customer)
    first_name, last_name = name_key(customer.first_name), name_key(customer.last_name)
    return {
        "id": customer.id,
        "customer_ref": unique["customerRef"],
        "alternate_ref": unique["alternateCustomerRef"],
        "email_key": unique["email"],
        "mobile": unique["mobile"],
        "phone": unique["phone"],
        "first_name_key": first_name,
        "last_name_key": last_name,
        "first_name_fold": name_fold(first_name),
        "last_name_fold": name_fold(last_name),
        "status": Status.of(customer).number,
        "modified_at": customer.last_modified_date.ToMilliseconds(),
        "body": customer.SerializeToString(),
    }


def unique_keys(customer: Customer) -> dict[str, str | None]:
    """Returns a customer's unique keys, by the JSON names of their fields.

    They are short, and texts of every database, whether or not the customer is valid.
    """
    return {
        "email": exact_key(email_key(customer.email)),
        "mobile": exact_key(customer.mobile) or None,
        "phone": exact_key(customer.phone) or None,
        "customerRef": exact_key(customer.customer_ref) or None,
        "alternateCustomerRef": exact_key(customer.alternate_customer_ref) or None,
    }


def merged(body: bytes, into: str) -> bytes:
    """Returns a stored customer with the id of the one that it was merged into."""
    return body + Customer(merged_into=into).SerializeToString()


def before_merge(body: bytes) -> bytes:
    """Returns a deleted customer as it was stored when its client read it last."""
    into = Customer.FromString(body).merged_into
    return body.removesuffix(Customer(merged_into=into).SerializeToString()) if into else body


def exact_key(text: str) -> str:
    """Returns the key of a text that is compared exactly."""
    fits = len(text) <= _SHORT_LENGTH or len(text.encode()) <= MAX_KEY_BYTES
    if fits and "\0" not in text and not text.startswith(_DIGEST_PREFIX):
        return text
    return _DIGEST_PREFIX + hashlib.sha256(text.encode()).hexdigest()


def name_key(name: str) -> str:
    """Returns the key of a name, equal for every case and Unicode form of it."""
    name = name.strip()
    return exact_key(name.lower() if name.isascii() else _fold(name))


def name_fold(key: str) -> str:
    """Returns the key of a name without its accents, from the one with them."""
    return key if key.isascii() and "`" not in key else exact_key(folding.fold(key)) or key


def name_prefix(text: str) -> str:
    """Returns the beginning of the keys of names that begin with a text."""
    return _fold(text.lstrip())


def email_prefix(text: str) -> str:
    """Returns the beginning of the keys of e-mail addresses that begin with a text."""
    return _fold(text.lstrip())


def email_key(email: str) -> str:
    """Returns the key of an e-mail address, equal for every case and spelling of it.

    An international domain and its ASCII form (RFC 5890) have one key, and so
    have a local part in quotes and without (RFC 5321).
    """
    if len(email) > _LONGEST_FOLDED:
        return email
    if email.startswith('"'):
        local, _, domain = email.rpartition("@")
        unquoted = _QUOTED_PAIR.sub(r"\1", local[1:-1])
        email = f"{unquoted}@{domain}"
    if email.isascii() and "xn--" not in email.lower():
        return email.lower()
    local, _, domain = email.rpartition("@")
    try:
        ascii_domain = idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        ascii_domain = _fold(domain)
    return f"{_fold(local)}@{ascii_domain.lower()}"


def _fold(text: str) -> str:
    if len(text) > _LONGEST_FOLDED:
        return text
    # Upper case first, since both lower-case letters i of Turkish share one; then
    # without the combining dot that remains of the capital one. Case folding can
    # undo normalisation, so that both sides of it normalise.
    folded = unicodedata.normalize("NFC", text).upper().casefold()
    return unicodedata.normalize("NFC", folded.replace("i\u0307", "i"))
