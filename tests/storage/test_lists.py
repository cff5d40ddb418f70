"""A store lists customers by each index, in its order, page by page, in bounded work."""

import random
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from twc.customer.v2.customer_pb2 import AttributeGroup, Customer
from twc.customer.v2.customer_service_pb2 import ListCustomersRequest, ListCustomersResponse

from tests.support.stores import insert, stamped
from twc_customer_server.api import listing
from twc_customer_server.storage import lists
from twc_customer_server.storage.database import Database
from twc_customer_server.storage.listing import WALKS
from twc_customer_server.storage.lists import MAX_LIST_BYTES, Lists
from twc_customer_server.storage.postgres import Postgres
from twc_customer_server.storage.rows import Key, name_fold, name_key
from twc_customer_server.storage.statements import Statements
from twc_customer_server.storage.store import CustomerStore

DAY = 86_400
CROWD = "crowd"
NAMES = (
    "Muller",
    "Müller",
    "MÜLLER",
    "Mullen",
    "Mùlligan",
    "O'Neil",
    "O\u2019Neil",
    "Groß",
    "Zoë",
    "",
)


def customer_of(number: int, chosen: random.Random) -> Customer:
    """A customer with values that several customers share."""
    customer = stamped(
        email=f"{chosen.choice('abc')}{number}@example.com",
        first_name=chosen.choice(NAMES),
        last_name=chosen.choice(NAMES),
        customerState=chosen.randrange(1, 5),
        active=chosen.random() < 0.8,
        accepts_marketing=chosen.random() < 0.5,
    )
    if number % 3:
        customer.mobile = f"+4917{number % 7}{number:06d}"
        customer.phone = f"+4930{number % 7}{number:06d}"
        customer.customer_ref = f"{chosen.choice('AB')}-{number}"
        customer.alternate_customer_ref = f"{chosen.choice('AB')}-{number}"
    customer.created_date.CopyFrom(Timestamp(seconds=DAY * chosen.randrange(20)))
    customer.last_modified_date.CopyFrom(Timestamp(seconds=DAY * chosen.randrange(20, 40)))
    return customer


@pytest.fixture(scope="session")
def crowd(store: CustomerStore) -> list[Customer]:
    """Customers of one tenant, among others that are deleted, and the same of another tenant."""
    chosen = random.Random(7)  # noqa: S311 - no secret
    customers = [customer_of(number, chosen) for number in range(300)]
    store.insert_each(CROWD, customers)
    store.insert_each("crowd-foreign", customers)
    for gone in customers[::10]:
        store.delete(CROWD, Key.id(gone.id), DAY * 1000 * chosen.randrange(20, 40))
    return [customer for number, customer in enumerate(customers) if number % 10]


def pages(
    store: CustomerStore, tenant: str, text: str, order: str = "", size: int = 100
) -> Iterator[list[Customer]]:
    """Reads a list, page by page, by tokens."""
    request = ListCustomersRequest(filter=text, order_by=order, page_size=size)
    while True:
        query = listing.parse(request, tenant, "DE")
        page = store.list_page(tenant, query.listing, query.after, query.size)
        yield [Customer.FromString(body) for body in page.bodies]
        if page.place is None:
            return
        response = listing.response(tenant, query.listing, page)
        request.page_token = ListCustomersResponse.FromString(response).next_page_token


def read(
    store: CustomerStore, tenant: str, text: str, order: str = "", size: int = 100
) -> list[Customer]:
    """Reads a list to its end."""
    return [customer for page in pages(store, tenant, text, order, size) for customer in page]


def by_name(customer: Customer, field: str = "last_name") -> tuple[str, ...]:
    """Orders customers by a name."""
    key = name_key(getattr(customer, field))
    return (name_fold(key), key, customer.id)


def by_created(customer: Customer) -> tuple[object, ...]:
    """Orders customers by their creation."""
    return (customer.created_date.seconds, customer.id)


def by_modified(customer: Customer) -> tuple[object, ...]:
    """Orders customers by their last change."""
    return (customer.last_modified_date.seconds, customer.id)


def is_folded(name: str, begin: str) -> bool:
    """Tells whether a name begins with a text, accents apart."""
    return name_fold(name_key(name)).startswith(begin)


class Case(NamedTuple):
    """A filter and an order; which customers match, and by what they are ordered.

    What orders them is in a tuple if the order is descending.
    """

    text: str
    order: str
    matches: Any
    by: Any


EVERYTHING = """
    lastName = m* AND firstName = m* AND email = a* AND customerRef = A*
    AND mobile = +4917* AND phone = +4930* AND active = true
    AND createdDate < 1970-01-15 AND lastModifiedDate >= 1970-01-10
"""
LISTS: dict[str, Case] = {
    "all": Case("", "", lambda _: True, by_created),
    "newest first": Case("", "createdDate desc", lambda _: True, (by_created,)),
    "by last name": Case("", "lastName", lambda _: True, by_name),
    "by last name, backwards": Case("", "lastName desc", lambda _: True, (by_name,)),
    "by change": Case("", "lastModifiedDate", lambda _: True, by_modified),
    "changed last": Case("", "lastModifiedDate desc", lambda _: True, (by_modified,)),
    "a state": Case("state = invited", "", lambda it: it.customerState == 2, by_created),
    "not active": Case(
        "active = false", "createdDate desc", lambda it: not it.active, (by_created,)
    ),
    "a state and active": Case(
        "state = declined AND active = true",
        "",
        lambda it: it.customerState == 4 and it.active,
        by_created,
    ),
    "one status": Case(
        "state = enabled AND active = true AND accepts_marketing = false",
        "",
        lambda it: it.customerState == 3 and it.active and not it.accepts_marketing,
        by_created,
    ),
    "a state by last name": Case(
        "state = invited",
        "lastName",
        lambda it: it.customerState == 2,
        by_name,
    ),
    "a state by change": Case(
        "state = invited AND accepts_marketing = true",
        "lastModifiedDate desc",
        lambda it: it.customerState == 2 and it.accepts_marketing,
        (by_modified,),
    ),
    "created in a range": Case(
        "createdDate >= 1970-01-05 AND createdDate < 1970-01-09",
        "createdDate desc",
        lambda it: 4 <= it.created_date.seconds // DAY < 8,
        (by_created,),
    ),
    "created on a day, with a state": Case(
        "createdDate = 1970-01-05 AND active = true",
        "",
        lambda it: it.created_date.seconds // DAY == 4 and it.active,
        by_created,
    ),
    "changed in a range": Case(
        "lastModifiedDate > 1970-01-25 AND lastModifiedDate <= 1970-01-30",
        "",
        lambda it: 24 < it.last_modified_date.seconds // DAY <= 29,
        by_modified,
    ),
    "both ranges": Case(
        "createdDate < 1970-01-11 AND lastModifiedDate < 1970-01-31",
        "",
        lambda it: (
            it.created_date.seconds // DAY < 10 and it.last_modified_date.seconds // DAY < 30
        ),
        by_created,
    ),
    "prefix of email": Case("email = A*", "", lambda it: it.email[0] == "a", lambda it: it.email),
    "prefix of mobile": Case(
        "mobile = 0173*",
        "",
        lambda it: it.mobile.startswith("+49173"),
        lambda it: it.mobile,
    ),
    "prefix of phone": Case(
        'phone = "+49 304*"',
        "",
        lambda it: it.phone.startswith("+49304"),
        lambda it: it.phone,
    ),
    "prefix of reference": Case(
        "customerRef = A-*",
        "",
        lambda it: it.customer_ref.startswith("A-"),
        lambda it: it.customer_ref,
    ),
    "prefix of alternate reference": Case(
        "alternateCustomerRef = B-* AND active = true",
        "",
        lambda it: it.alternate_customer_ref.startswith("B-") and it.active,
        lambda it: it.alternate_customer_ref,
    ),
    "last name in its order": Case(
        "lastName = m*",
        "lastName desc",
        lambda it: is_folded(it.last_name, "m"),
        (by_name,),
    ),
    "whole last name in its order": Case(
        "lastName = MULLER",
        "lastName",
        lambda it: name_fold(name_key(it.last_name)) == "muller",
        by_name,
    ),
    "prefix of a name, as spelled first": Case(
        "lastName = mü*",
        "",
        lambda it: is_folded(it.last_name, "mu"),
        lambda it: (not name_key(it.last_name).startswith("mü"), by_name(it)),
    ),
    "whole name, as spelled first": Case(
        "lastName = müller",
        "",
        lambda it: name_fold(name_key(it.last_name)) == "muller",
        lambda it: (name_key(it.last_name) != "müller", by_name(it)),
    ),
    "either apostrophe": Case(
        "firstName = O'N*",
        "",
        lambda it: it.first_name.startswith("O"),
        lambda it: ("'" not in it.first_name, by_name(it, "first_name")),
    ),
    "sharp s": Case("lastName = gross", "", lambda it: it.last_name == "Groß", by_name),
    "two names": Case(
        "lastName = mu* AND firstName = Zoe",
        "",
        lambda it: is_folded(it.last_name, "mu") and it.first_name == "Zoë",
        lambda it: by_name(it, "first_name"),
    ),
    "a name and everything else": Case(
        EVERYTHING,
        "lastName",
        lambda it: (
            is_folded(it.last_name, "m")
            and is_folded(it.first_name, "m")
            and it.email[0] == "a"
            and it.mobile
            and it.customer_ref.startswith("A")
            and it.created_date.seconds < 14 * DAY
            and it.active
        ),
        by_name,
    ),
    "nobody": Case("lastName = nobody", "", lambda _: False, by_name),
}


@pytest.mark.parametrize("size", [1, 7, 100])
@pytest.mark.parametrize("case", LISTS.values(), ids=LISTS)
def test_list(store: CustomerStore, crowd: list[Customer], size: int, case: Case) -> None:
    """A list has each live customer of the tenant that matches once, in order, in full pages."""
    key, is_descending = (case.by[0], True) if isinstance(case.by, tuple) else (case.by, False)
    expected = sorted(filter(case.matches, crowd), key=key, reverse=is_descending)
    read_pages = [*pages(store, CROWD, case.text, case.order, size)]
    assert [it for page in read_pages for it in page] == expected
    assert all(len(page) == size for page in read_pages[:-1])


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("email", "email = '{}'"),
        ("mobile", "mobile = '{}'"),
        ("phone", "phone = '{}'"),
        ("customer_ref", "customerRef = '{}'"),
        ("alternate_customer_ref", "alternateCustomerRef = '{}'"),
    ],
)
def test_list_of_one(store: CustomerStore, crowd: list[Customer], field: str, text: str) -> None:
    """A whole unique value lists its customer in any order, if the other terms hold for it."""
    wanted = crowd[4]
    text = text.format(getattr(wanted, field))
    assert read(store, CROWD, text, "lastModifiedDate desc") == [wanted]
    active = "false" if wanted.active else "true"
    assert read(store, CROWD, f"{text} AND active = {active}") == []


def test_list_of_tenant(store: CustomerStore, crowd: list[Customer], tenant: str) -> None:
    """A list has no customer of another tenant."""
    assert crowd
    for case in LISTS.values():
        assert read(store, tenant, case.text, case.order) == []


def test_list_after_change(store: CustomerStore, tenant: str) -> None:
    """A list follows changes of names, of the state, and deletions."""
    customer = insert(store, tenant, last_name="Müller", customerState=Customer.invited)
    other = insert(store, tenant, last_name="Muller")

    def edit(stored: Customer) -> None:
        stored.last_name = "Kahn"
        stored.customerState = Customer.enabled

    changed = Customer.FromString(store.change(tenant, Key.id(customer.id), edit))
    assert read(store, tenant, "lastName = muller") == [other]
    assert read(store, tenant, "lastName = Kahn") == [changed]
    assert read(store, tenant, "state = enabled") == [changed]
    assert read(store, tenant, "state = invited") == []
    store.delete(tenant, Key.id(customer.id), 1)
    assert read(store, tenant, "") == [other]


@pytest.mark.parametrize("order", ["lastName", "lastName desc", "createdDate", "lastModifiedDate"])
def test_pages_while_changing(store: CustomerStore, tenant: str, order: str) -> None:
    """Pages repeat and skip no customer that stays, though the last one of a page is deleted."""
    for number in range(9):
        insert(store, tenant, last_name="Same" if number % 2 else "Säme")
    expected = read(store, tenant, "", order)
    reading = pages(store, tenant, "", order, 3)
    first = next(reading)
    store.delete(tenant, Key.id(first[-1].id), 1)
    assert first == expected[:3]
    assert [it for page in reading for it in page] == expected[3:]


def test_long_names(store: CustomerStore, tenant: str) -> None:
    """Names as long as they may be are listed, page by page."""
    names = [letter * 1024 for letter in "aäß😀\U0010ffff"]
    for name in names:
        insert(store, tenant, last_name=name, first_name=name)
    found = [it.last_name for page in pages(store, tenant, "", "lastName", 1) for it in page]
    assert sorted(found) == sorted(names)
    for name in names:
        assert [it.last_name for it in read(store, tenant, f"lastName = '{name}'")] == [name]


def test_prefix_of_last_character(store: CustomerStore, tenant: str) -> None:
    """A prefix of the last characters there are finds what begins with it."""
    names = ["\ud7ffa", "\ue000", "a\U0010ffffb", "b", "\U0010ffff\U0010ffff"]
    for name in names:
        insert(store, tenant, customer_ref=name, last_name=name)
    for name in names:
        assert [it.customer_ref for it in read(store, tenant, f"customerRef = {name}*")] == [name]
        assert [it.last_name for it in read(store, tenant, f"lastName = {name[0]}*")] == [name]


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("lastName = s* AND firstName = rare", "lastName"),
        ("state = invited", "lastName desc"),
        ("state = invited", "lastModifiedDate"),
        ("lastName = s* AND state = invited", ""),
        ("createdDate > 1970-01-01 AND lastModifiedDate = 1970-01-01T00:00:09Z", "createdDate"),
    ],
)
def test_bounded_work(
    database: Database, monkeypatch: pytest.MonkeyPatch, tenant: str, text: str, order: str
) -> None:
    """A page examines so many customers and ends early; the rare match comes with a later one."""
    monkeypatch.setattr(lists, "MAX_EXAMINED", 250)
    store = CustomerStore(database)
    customers = [stamped(first_name="Often", last_name="Same") for _ in range(700)]
    rare = customers[350]
    rare.customerState = Customer.invited
    rare.first_name = "Rare"
    rare.last_modified_date.CopyFrom(Timestamp(seconds=9))
    store.insert_each(tenant, customers)
    examined: list[int] = []

    def rows(*arguments: Any) -> Any:
        found = type(database).rows(database, *arguments)
        examined.append(len(found))
        return found

    monkeypatch.setattr(database, "rows", rows)
    read_pages = []
    for page in pages(store, tenant, text, order):
        read_pages.append(page)
        assert sum(examined) <= 250
        examined.clear()
    assert [it for page in read_pages for it in page] == [rare]
    assert 3 <= len(read_pages) <= 6


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lastName = jü*", ["Jürgen", "Jürgens"]),
        ("lastName = jul*", ["Julia"] * 400 + ["Jùlia"] * 2),
    ],
)
def test_names_that_are_skipped(
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    tenant: str,
    text: str,
    expected: list[str],
) -> None:
    """Names with other accents are skipped together, however many there are."""
    monkeypatch.setattr(lists, "MAX_EXAMINED", 600)
    store = CustomerStore(database)
    names = ["Julia"] * 400 + ["Jùlia"] * 2 + ["Jungk"] * 400 + ["Jürgen", "Jürgens"]
    store.insert_each(tenant, [stamped(last_name=name) for name in names])
    page = next(pages(store, tenant, text, size=1000))
    assert [it.last_name for it in page[: len(expected)]] == expected


def test_page_of_deleted_customers(
    store: CustomerStore, monkeypatch: pytest.MonkeyPatch, tenant: str
) -> None:
    """Customers that were deleted count as examined in a list by change, which has their index."""
    monkeypatch.setattr(lists, "MAX_EXAMINED", 100)
    customers = [stamped() for _ in range(250)]
    store.insert_each(tenant, customers)
    for customer in customers:
        store.delete(tenant, Key.id(customer.id), 1)
    assert [*pages(store, tenant, "", "lastModifiedDate")] == [[], [], []]
    assert [*pages(store, tenant, "", "createdDate")] == [[]]


def test_page_of_large_customers(store: CustomerStore, tenant: str) -> None:
    """A page of large customers holds fewer of them, and fits into a message."""
    note = {f"group-{n}": AttributeGroup(attribute_group="x" * 1000) for n in range(200)}
    for _ in range(30):
        insert(store, tenant, attribute_groups=note)
    read_pages = [*pages(store, tenant, "")]
    assert [len(page) for page in read_pages] == [5] * 6
    assert sum(it.ByteSize() for it in read_pages[0]) < MAX_LIST_BYTES


def plan(database: Database, sql: str, values: dict[str, object]) -> list[str]:
    """What a database reads for a statement, and whether it sorts or filters all of that."""
    if isinstance(database, Postgres):
        lines = [line.strip() for (line,) in database.rows(f"EXPLAIN {sql}", values)]
        return [line for line in lines if re.search(r"Scan|Sort  |Filter:", line)]
    steps = [detail for *_, detail in database.rows(f"EXPLAIN QUERY PLAN {sql}", values)]
    return [step for step in steps if re.search("SEARCH|SCAN|TEMP", step)]


def bounds(field: str) -> dict[str, object]:
    """Parameters of a statement of a list by a field."""
    query = listing.parse(ListCustomersRequest(), "acme", None).listing
    values = query.parameters("acme") | {"any_spelling": True, "is_spelled": False, "limit": 1}
    first: object = 1 if field.endswith("Date") else "a"
    return (
        values
        | {"low_0": first, "high_0": first}
        | dict.fromkeys(("low_1", "low_2", "high_1", "high_2"), "a")
    )


@pytest.mark.parametrize("is_descending", [False, True], ids=["up", "down"])
@pytest.mark.parametrize("field", [field for field in WALKS if field != "createdDate"])
def test_plan_of_list(database: Database, field: str, is_descending: bool) -> None:  # noqa: FBT001
    """A list reads a range of one index in its order, without statistics of the table as well."""
    sql = Lists(database).by_field(field, is_descending=is_descending)
    [step] = plan(database, sql, bounds(field))
    index = f"customer_{WALKS[field][0].column_name}"
    assert re.search(rf"(Index Scan (Backward )?using|USING INDEX) {index} ", step)


@pytest.mark.parametrize("is_descending", [False, True], ids=["up", "down"])
@pytest.mark.parametrize("count", [1, 2, 4, 8, 16])
def test_plan_of_list_by_creation(
    database: Database,
    count: int,
    is_descending: bool,  # noqa: FBT001
) -> None:
    """A list by date of creation merges as many ranges of one index as it has statuses."""
    sql = Lists(database).by_status(count, is_descending=is_descending)
    steps = plan(database, sql, bounds("createdDate"))
    if not isinstance(database, Postgres):
        # It sorts, or reads again, the few rows that each range is limited to.
        steps = [step for step in steps if step.startswith("SEARCH")]
        assert sql.count("LIMIT") == count + 1
    assert len(steps) == count
    for step in steps:
        assert re.search("(Index Scan (Backward )?using|USING INDEX) customer_status ", step)


@pytest.mark.parametrize("names", [["first_name"], ["last_name"]], ids="".join)
def test_plan_of_lookup_by_name(database: Database, names: list[str]) -> None:
    """A lookup by a name goes by the index of that, accents or not."""
    values: dict[str, object] = {f"{names[0]}_{form}": "a" for form in ("fold", "key")}
    values |= {"tenant": "acme", "after_id": "", "limit": 1}
    [step] = plan(database, Statements(database).search(names), values)
    assert f"customer_{names[0]}_fold " in step


def test_no_sorts(database: Database) -> None:
    """PostgreSQL is kept from sorting, which without statistics it does with a whole tenant."""
    if isinstance(database, Postgres):
        setting = "SELECT setting FROM pg_settings WHERE name ~ 'enable_(incremental_)?sort'"
        assert database.rows(setting, {}) == [("off",), ("off",)]
