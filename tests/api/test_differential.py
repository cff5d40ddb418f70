"""Both databases give the same answers to any sequence of calls."""

import re
import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Address, Customer

from tests.support.backends import PostgresBackend, SqliteBackend
from tests.support.client import SERVICE
from tests.support.postgres import Server
from tests.support.tokens import trust
from twc_customer_server.api.servicer import CustomerServicer
from twc_customer_server.api.status import to_status
from twc_customer_server.databases import open_database
from twc_customer_server.errors import ServiceError
from twc_customer_server.middleware.rpc import Call
from twc_customer_server.settings.model import Settings
from twc_customer_server.storage.database import Database, shut_down_after
from twc_customer_server.storage.stores import Stores

# Each part has its own seed, so that workers share them.
PARTS = 2
SEQUENCES_OF_A_PART = 250

# Few values, so that they meet: in other case, form and order, beyond what a
# key holds, and of characters that collations and databases disagree on.
EMAILS = ["ada@example.com", "ADA@Example.com", "a_b@example.com", "jörg@exämple.de", "none"]
NAMES = ["Ada", "ÅSA", "åsa", "A\u030asa", "zoe", "Zoë", "_", "~", "Ω", "a b", "x" * 600, "X" * 600]
REFS = ["A-1", "a-1", "Ä", "_", "~", "\u00e9", "e\u0301", "y" * 700, "\0", "\x02", " ", ""]
PHONES = ["+491701234567", "+49 170 1234567", "+15005550006", "12"]
MASKS = [(), ("*",), ("first_name",), ("phone", "mobile"), ("email",), ("addresses",), ("nothing",)]

_DATES = ("created_date", "last_modified_date", "marketing_preferences_updated_at")
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


class Answered(Call):
    """A call that keeps the status and the names of the headers that it was answered with."""

    def __init__(self, tenant: str) -> None:
        self.tenant = tenant
        self.answered: list[Any] = []
        self.next_page = ""

    def header(self, name: str) -> None:
        """Returns None, as the caller sends no headers."""

    def set_status(self, http_status: int, *headers: tuple[str, str]) -> None:
        """Keeps what would be sent."""
        self.answered = [http_status, *(name for name, _ in headers)]
        self.next_page = dict(headers).get("x-next-page-token", "")


class Side:
    """The service on one database, and the ids that it has given, in the order of that."""

    def __init__(self, servicer: CustomerServicer) -> None:
        self._servicer = servicer
        self.tenant = ""
        self.ids: list[str] = []
        self.succeeded: set[str] = set()

    def begin(self) -> None:
        """Forgets everything."""
        self.ids = []

    def id(self, number: int) -> str:
        """An id that was given, or another."""
        return self.ids[number % len(self.ids)] if self.ids and number else "no-such"

    def call(self, rpc: str, request: Any) -> tuple[list[Any], str]:
        """Calls an RPC; returns what is comparable of the answer, and the next page's token."""
        call = Answered(self.tenant)
        method = SERVICE.methods_by_name[rpc]
        try:
            answer = getattr(self._servicer, rpc)(request, call)
            answers = list(answer) if method.server_streaming else [answer]
            self.succeeded.add(rpc)
        except ServiceError as error:
            answers = [to_status(error)]
        message = GetMessageClass(method.output_type)
        texts = [
            self._comparable(message.FromString(each) if isinstance(each, bytes) else each)
            for each in answers
        ]
        return [call.answered, *texts], call.next_page

    def _comparable(self, message: Message) -> str:
        for part in (message, getattr(message, "customer", None)):
            if isinstance(part, Customer):
                for name in _DATES:
                    part.ClearField(name)
        return _ID.sub(self._number, str(message))

    def _number(self, found: re.Match[str]) -> str:
        if found[0] not in self.ids:
            self.ids.append(found[0])
        return f"#{self.ids.index(found[0])}"


class Sides(NamedTuple):
    """The same service on both databases."""

    sqlite: Side
    postgres: Side


@pytest.fixture(scope="module")
def sides(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    """The service on an empty database of each kind."""
    folder = tmp_path_factory.mktemp("differential")
    opened = [
        open_database(Settings(**backend.settings(folder), **trust()))
        for backend in (SqliteBackend(), PostgresBackend(postgres))
    ]
    with shut_down_after(opened[0]), shut_down_after(opened[1]):
        for database in opened:
            database.prepare()
        yield Sides(*(Side(_servicer(database)) for database in opened))


def _servicer(database: Database) -> CustomerServicer:
    return CustomerServicer(Stores.of(database), lambda _: None)


emails, names, refs = st.sampled_from(EMAILS), st.sampled_from(NAMES), st.sampled_from(REFS)
phones, numbers = st.sampled_from(PHONES), st.integers(0, 4)
addresses = st.builds(
    Address, city=names, default_address=st.booleans(), country_code=st.sampled_from(["DE", "XX"])
)
optional = {
    "customer_ref": refs,
    "first_name": names,
    "last_name": names,
    "mobile": phones,
    "phone": phones,
    "addresses": st.lists(addresses, max_size=2),
}
contents = st.fixed_dictionaries({"email": emails}, optional=optional)
changes = st.fixed_dictionaries({}, optional={"email": emails, **optional})


def _lookup(side: Side, query: dict[str, Any]) -> list[Any]:
    """Reads a search to its end, page by page."""
    pages = []
    token = ""
    while True:
        request = pb.LookupCustomersRequest(**query, page_token=token or None)
        answer, token = side.call("LookupCustomers", request)
        pages.append(answer)
        if not token:
            return pages


def _create(side: Side, content: dict[str, Any]) -> object:
    return side.call("CreateCustomer", pb.CreateCustomerRequest(customer=Customer(**content)))[0]


def _upload(side: Side, items: list[dict[str, Any]], atomic: bool) -> object:  # noqa: FBT001 - drawn
    requests = [
        pb.UploadCustomersRequest(customer=Customer(**content), atomic=atomic) for content in items
    ]
    return side.call("UploadCustomers", iter(requests))[0]


def _import(side: Side, items: list[dict[str, Any]]) -> object:
    batch = [pb.ImportItem(sequence=at, customer=Customer(**it)) for at, it in enumerate(items)]
    return side.call("ImportCustomers", iter([pb.ImportCustomersRequest(items=batch)]))[0]


def _validate(side: Side, content: dict[str, Any]) -> object:
    request = pb.ValidateCustomerRequest(customer=Customer(**content))
    return side.call("ValidateCustomer", request)[0]


def _update(side: Side, number: int | None, change: dict[str, Any], mask: Any) -> object:
    selected: dict[str, Any] = {} if number is None else {"id": side.id(number)}
    request = pb.UpdateCustomerRequest(customer=Customer(**change, **selected))
    request.update_mask.CopyFrom(FieldMask(paths=mask))
    return side.call("UpdateCustomer", request)[0]


def _add_address(side: Side, number: int, address: Address) -> object:
    request = pb.AddCustomerAddressRequest(id=side.id(number), address=address)
    return side.call("AddCustomerAddress", request)[0]


def _get(side: Side, number: int) -> object:
    return side.call("GetCustomer", pb.GetCustomerRequest(id=side.id(number)))[0]


def _get_by_ref(side: Side, ref: str) -> object:
    return side.call("GetCustomerByRef", pb.GetCustomerByRefRequest(customer_ref=ref))[0]


def _delete(side: Side, number: int) -> object:
    return side.call("DeleteCustomer", pb.DeleteCustomerRequest(id=side.id(number)))[0]


def _delete_by_ref(side: Side, ref: str, guard: int | None) -> object:
    only = None if guard is None else side.id(guard)
    request = pb.DeleteCustomerByRefRequest(customer_ref=ref, id=only)
    return side.call("DeleteCustomerByRef", request)[0]


queries = st.fixed_dictionaries(
    {"page_size": st.integers(1, 3)},
    optional={
        "email": emails,
        "first_name": names,
        "last_name": names,
        "mobile": phones,
        "phone": phones,
    },
)
several = st.lists(contents, min_size=1, max_size=4)
steps = st.one_of(
    st.tuples(st.just(_create), contents),
    st.tuples(st.just(_create), contents),
    st.tuples(st.just(_upload), several, st.booleans()),
    st.tuples(st.just(_import), several),
    st.tuples(st.just(_validate), contents),
    st.tuples(st.just(_update), st.none() | numbers, changes, st.sampled_from(MASKS)),
    st.tuples(st.just(_add_address), numbers, addresses),
    st.tuples(st.just(_get), numbers),
    st.tuples(st.just(_get_by_ref), refs),
    st.tuples(st.just(_lookup), queries),
    st.tuples(st.just(_delete), numbers),
    st.tuples(st.just(_delete_by_ref), refs, st.none() | numbers),
)


@pytest.mark.parametrize("part", range(PARTS))
def test_same_answers(sides: Sides, part: int) -> None:
    """Any sequence of calls, of two tenants, has the same answers and errors on both."""

    @seed(part)
    @settings(
        max_examples=SEQUENCES_OF_A_PART,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(st.tuples(st.integers(0, 1), steps), min_size=3, max_size=14))
    def compare(sequence: list[tuple[int, tuple[Any, ...]]]) -> None:
        tenants = [f"{uuid.uuid4()}" for _ in range(2)]
        for side in sides:
            side.begin()
        for tenant, (step, *arguments) in sequence:
            for side in sides:
                side.tenant = tenants[tenant]
            answers = [step(side, *arguments) for side in sides]
            assert answers[0] == answers[1], step.__name__

    compare()
    # Sequences of which none succeeds would compare nothing but errors.
    assert sides.sqlite.succeeded == sides.postgres.succeeded
    assert sides.sqlite.succeeded >= {"CreateCustomer", "UpdateCustomer", "LookupCustomers"}
