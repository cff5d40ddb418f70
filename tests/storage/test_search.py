"""A store finds customers by their values, in the order of ids, page by page."""

import itertools

import pytest
from twc.customer.v2.customer_pb2 import AttributeGroup

from tests.support.stores import FULL, find, insert, stamped
from twc_customer_server.storage import rows
from twc_customer_server.storage.reads import MAX_PAGE_BYTES
from twc_customer_server.storage.rows import Key
from twc_customer_server.storage.store import CustomerStore

# The key of each of FULL's searchable values.
WANTED = {
    "email": "ada@example.com",
    "first_name": "ada",
    "last_name": "lovelace",
    "mobile": "+491701234567",
    "phone": "+493012345678",
}
SUBSETS = [subset for size in range(1, 6) for subset in itertools.combinations(WANTED, size)]

LONG = "😀" * 1023


@pytest.mark.parametrize("names", SUBSETS, ids="+".join)
def test_search(store: CustomerStore, tenant: str, names: tuple[str, ...]) -> None:
    """Every parameter, alone or with others, finds the customer as it was stored."""
    customer = insert(store, tenant, **FULL)
    insert(store, tenant, first_name="Bob", last_name="Kahn")
    wanted = {name: WANTED[name] for name in names}
    assert find(store, tenant, wanted) == [(customer.id, customer.SerializeToString())]


@pytest.mark.parametrize("names", [names for names in SUBSETS if len(names) > 1], ids="+".join)
def test_search_with_partial_match(
    store: CustomerStore, tenant: str, names: tuple[str, ...]
) -> None:
    """A customer that has all wanted values but one is not found."""
    insert(store, tenant, **FULL)
    wanted = {name: WANTED[name] for name in names}
    found = [find(store, tenant, wanted | {name: f"{wanted[name]}0"}) for name in names]
    assert found == [[] for _ in names]


@pytest.mark.parametrize(
    "wanted",
    [
        {"first_name": "ad"},
        {"first_name": "ada%"},
        {"first_name": "lovelace"},
        {"email": "ada"},
        {"mobile": "+493012345678"},
        {"phone": "+491701234567"},
    ],
    ids=str,
)
def test_search_by_part_of_value(store: CustomerStore, tenant: str, wanted: dict[str, str]) -> None:
    """A part or a pattern of a value does not find it, nor does the value of another field."""
    insert(store, tenant, **FULL)
    assert find(store, tenant, wanted) == []


@pytest.mark.parametrize("name", ["ZOË", "zoë", "Zoe\u0308", "  Zoë  "])
def test_search_spelling(store: CustomerStore, tenant: str, name: str) -> None:
    """A name is found whatever case, Unicode form or white space it was stored with."""
    customer = insert(store, tenant, last_name=name)
    assert [it.id for it in find(store, tenant, {"last_name": rows.name_key("zoë")})] == [
        customer.id
    ]


def test_search_order(store: CustomerStore, tenant: str) -> None:
    """Customers come in the order of their ids, in whichever order they were stored."""
    customers = [stamped(last_name="Same") for _ in range(9)]
    for customer in customers[::-1]:
        store.insert(tenant, customer)
    assert [it.id for it in find(store, tenant, {"last_name": "same"})] == [
        it.id for it in customers
    ]


@pytest.mark.parametrize("name", ["first_name", "last_name"])
def test_search_page(store: CustomerStore, tenant: str, name: str) -> None:
    """A page holds at most its limit, and begins after the given id whether or not it is there."""
    ids = [insert(store, tenant, **{name: "Same"}).id for _ in range(6)]
    unstored = stamped().id
    ids += [insert(store, tenant, **{name: "Same"}).id for _ in range(3)]
    wanted = {name: "same"}
    assert [it.id for it in find(store, tenant, wanted, "", 4)] == ids[:4]
    assert [it.id for it in find(store, tenant, wanted, ids[3], 4)] == ids[4:8]
    assert [it.id for it in find(store, tenant, wanted, unstored, 4)] == ids[6:]
    assert find(store, tenant, wanted, ids[-1], 4) == []


def test_search_pages_while_changing(store: CustomerStore, tenant: str) -> None:
    """Pages repeat and skip no customer, though customers come and go between them."""
    ids = [insert(store, tenant, last_name="Same").id for _ in range(20)]
    first = find(store, tenant, {"last_name": "same"}, "", 8)
    for deleted in ids[7], ids[8]:
        store.delete(tenant, Key.id(deleted), 1)
    ids.append(insert(store, tenant, last_name="Same").id)
    second = find(store, tenant, {"last_name": "same"}, first[-1].id, 8)
    store.delete(tenant, Key.id(ids[0]), 1)
    third = find(store, tenant, {"last_name": "same"}, second[-1].id, 8)
    pages = [[it.id for it in page] for page in (first, second, third)]
    assert pages == [ids[:8], ids[9:17], ids[17:]]


@pytest.mark.parametrize("name", ["first_name", "last_name"])
def test_search_long_name(store: CustomerStore, tenant: str, name: str) -> None:
    """Names of 1,024 four-byte characters are found, each apart from one that ends otherwise."""
    ada, bob = (insert(store, tenant, **{name: LONG + end}).id for end in "ab")
    assert [it.id for it in find(store, tenant, {name: rows.name_key(LONG + "A")})] == [ada]
    assert [it.id for it in find(store, tenant, {name: rows.name_key(LONG + "B")})] == [bob]


def test_search_all_long(store: CustomerStore, tenant: str) -> None:
    """A customer whose every key is as long as it may be is stored, changed and found."""
    name = LONG + "x"
    customer = insert(store, tenant, customer_ref=name, first_name=name, last_name=name)
    store.change(tenant, Key.id(customer.id), lambda stored: stored.tax_exemptions.append(name))
    wanted = {"first_name": rows.name_key(name), "last_name": rows.name_key(name)}
    found = find(store, tenant, wanted)
    assert [it.id for it in found] == [customer.id]
    assert store.get(tenant, Key.ref(name)) == found[0].body


def test_page_of_large_customers(store: CustomerStore, tenant: str) -> None:
    """A page of large customers holds fewer of them, and those that follow are not lost."""
    note = {f"group-{n}": AttributeGroup(attribute_group="x" * 1000) for n in range(90)}
    stored = [insert(store, tenant, last_name="Large", attribute_groups=note).id for _ in range(60)]
    read: list[str] = []
    pages = 0
    has_more = True
    while has_more:
        found, has_more = store.page(tenant, {"last_name": "large"}, read[-1] if read else "", 1000)
        assert sum(len(it.body) for it in found) < 2 * MAX_PAGE_BYTES
        read += [it.id for it in found]
        pages += 1

    assert read == stored
    assert pages == 2


@pytest.mark.parametrize("size", [1, 99, 100, 101, 102, 250])
def test_page_of_any_size(store: CustomerStore, tenant: str, size: int) -> None:
    """A page holds as many customers as it is asked for, whatever are read at a time."""
    for _ in range(250):
        insert(store, tenant, last_name="Small")
    found, has_more = store.page(tenant, {"last_name": "small"}, "", size)

    assert (len(found), has_more) == (size, size < 250)
