"""The RPCs that read and delete one customer, and what every RPC has in common."""

from collections.abc import Callable

import grpc
import pytest
from twc.customer.v2.customer_pb2 import Customer

from tests.api.samples import CUSTOMER_TYPE, FULL, email_of
from tests.support.builders import UNKNOWN_ID, address, customer
from tests.support.client import Client, failure
from twc_customer_server.storage import rows


def test_get_missing(client: Client) -> None:
    """An id that the tenant does not have is answered with an empty customer and 204."""
    client.create(customer())
    assert client.get(UNKNOWN_ID) == Customer()
    assert client.headers["x-http-code"] == "204"


def test_id_in_capitals(client: Client) -> None:
    """An id is the same in capital letters, for every RPC that takes one."""
    created = client.create(customer(customer_ref="A-1", addresses=[address()]))
    given = created.id.upper()
    assert client.get(given) == created
    updated = client.update(Customer(id=given, first_name="Ada"))
    assert (updated.id, updated.first_name) == (created.id, "Ada")
    own = created.addresses[0].id.upper()
    assert client.update(Customer(id=given, addresses=[address(id=own)])).addresses[0].id == (
        created.addresses[0].id
    )
    assert len(client.add_address(given, address()).addresses) == 2
    assert client.update_address(given, own, address(city="Rom")).addresses[0].city == "Rom"
    assert len(client.delete_address(given, own).addresses) == 1
    client.delete_by_ref("A-1", given)
    assert client.get(given) == Customer()


NOT_IDS = ["no-uuid", "undefined", "{id}", "😀", " ", "01938f6e", f"{{{UNKNOWN_ID}}}"]
NOT_IDS += [UNKNOWN_ID.replace("-", ""), f"{UNKNOWN_ID} ", f"urn:uuid:{UNKNOWN_ID}"]
TAKING_IDS: dict[str, Callable[[Client, str], object]] = {
    "get": lambda client, text: client.get(text),
    "update": lambda client, text: client.update(Customer(id=text, first_name="Ada")),
    "add address": lambda client, text: client.add_address(text, address()),
    "update address": lambda client, text: client.update_address(text, UNKNOWN_ID, address()),
    "delete address": lambda client, text: client.delete_address(text, UNKNOWN_ID),
    "delete": lambda client, text: client.delete(text),
    "delete by ref": lambda client, text: client.delete_by_ref("A-1", text),
}


@pytest.mark.parametrize("act", TAKING_IDS.values(), ids=TAKING_IDS)
def test_text_that_is_no_id(client: Client, act: Callable[[Client, str], object]) -> None:
    """What cannot be an id is refused, and not taken for one that nobody has."""
    for text in NOT_IDS:
        refused = failure(lambda text=text: act(client, text))  # type: ignore[misc]
        assert refused.reason == "INVALID_INPUT"
        assert set(refused.fields) == {"id"}
        assert "must be an id, a UUID such as" in refused.fields["id"]


def test_get_by_ref(client: Client) -> None:
    """A customer is found by its reference as it was created."""
    created = client.create(Customer(**FULL))
    assert client.get_by_ref("A-1") == created


@pytest.mark.parametrize("unknown", ["no-such", "a-1", "A-1 ", "😀"])
def test_get_by_ref_missing(client: Client, unknown: str) -> None:
    """A reference that no customer has exactly so is NOT_FOUND, in the document's own words."""
    client.create(customer(customer_ref="A-1"))
    refused = failure(lambda: client.get_by_ref(unknown))
    assert refused.code is grpc.StatusCode.NOT_FOUND
    assert refused.message.startswith("ResourceNotFound")
    assert (refused.reason, refused.domain) == ("RESOURCE_NOT_FOUND", "customer.twc")
    assert refused.resources == [(CUSTOMER_TYPE, "")]


def test_get_by_ref_digest(client: Client) -> None:
    """A long reference is found by itself, and not by the form that the database keeps of it."""
    ref = "😀" * 1024
    created = client.create(customer(customer_ref=ref))
    assert client.get_by_ref(ref) == created
    refused = failure(lambda: client.get_by_ref(rows.exact_key(ref)))
    assert refused.code is grpc.StatusCode.NOT_FOUND


def test_delete(client: Client) -> None:
    """A deleted customer is gone from every read, and a new one may take all its values."""
    created = client.create(Customer(**FULL))
    client.delete(created.id)
    assert client.headers["x-http-code"] == "204"
    assert client.get(created.id) == Customer()
    assert failure(lambda: client.get_by_ref("A-1")).code is grpc.StatusCode.NOT_FOUND
    assert client.lookup(email_of("ada@example.com")) == []
    successor = client.create(Customer(**FULL))
    assert client.get_by_ref("A-1") == successor


@pytest.mark.parametrize("only_id", [False, True])
def test_delete_by_ref(client: Client, *, only_id: bool) -> None:
    """A customer is deleted by its reference, with its id as a guard or without."""
    created = client.create(customer(customer_ref="A-1"))
    client.delete_by_ref("A-1", created.id if only_id else None)
    assert client.headers["x-http-code"] == "204"
    assert client.get(created.id) == Customer()


@pytest.mark.parametrize(
    "act",
    [
        lambda client: client.delete(UNKNOWN_ID),
        lambda client: client.delete_by_ref("no-such"),
        lambda client: client.delete_by_ref("no-such", UNKNOWN_ID),
    ],
    ids=["id", "ref", "guarded ref"],
)
def test_delete_missing(client: Client, act: Callable[[Client], None]) -> None:
    """Deleting a customer that the tenant does not have succeeds, and deletes no other."""
    created = client.create(customer(customer_ref="A-1"))
    act(client)
    assert client.headers["x-http-code"] == "204"
    assert client.get(created.id) == created


def test_delete_by_ref_id_mismatch(client: Client) -> None:
    """A deletion by reference that is guarded with another's id is refused."""
    created = client.create(customer(customer_ref="A-1"))
    other = client.create(customer())
    refused = failure(lambda: client.delete_by_ref("A-1", other.id))
    assert refused.code is grpc.StatusCode.FAILED_PRECONDITION
    assert (refused.reason, refused.domain) == ("ID_MISMATCH", "customer.twc")
    assert client.get_by_ref("A-1") == created
    assert client.get(other.id) == other


@pytest.mark.parametrize(
    ("act", "named"),
    [
        (lambda client: client.get(""), "id"),
        (lambda client: client.get_by_ref(""), "customerRef"),
        (lambda client: client.add_address("", address()), "id"),
        (lambda client: client.delete(""), "id"),
        (lambda client: client.delete_by_ref(""), "customerRef"),
    ],
    ids=["get", "get by ref", "add address", "delete", "delete by ref"],
)
def test_no_key(client: Client, act: Callable[[Client], object], named: str) -> None:
    """A request that says not which customer it is about is invalid input."""
    refused = failure(lambda: act(client))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert (refused.reason, refused.domain) == ("INVALID_INPUT", "customer.twc")
    assert refused.fields == {named: "is required"}


def test_foreign_tenant(client: Client, foreigner: Client) -> None:
    """To another tenant a customer is no different from a missing one, in every RPC."""
    mine = client.create(Customer(**FULL))
    assert foreigner.get(mine.id) == Customer()
    assert foreigner.lookup(email_of("ada@example.com")) == []
    for act in (
        lambda: foreigner.get_by_ref("A-1"),
        lambda: foreigner.update(Customer(id=mine.id, first_name="Eve")),
        lambda: foreigner.update(Customer(customer_ref="A-1", first_name="Eve")),
        lambda: foreigner.add_address(mine.id, address()),
    ):
        assert failure(act).reason == "RESOURCE_NOT_FOUND"
    foreigner.delete(mine.id)
    foreigner.delete_by_ref("A-1")
    foreigner.delete_by_ref("A-1", UNKNOWN_ID)
    foreigner.validate(Customer(**FULL))
    assert foreigner.create(Customer(**FULL)).id != mine.id
    [uploaded] = foreigner.upload([customer(phone="+4989123456")])
    assert uploaded.HasField("customer")
    assert client.get(mine.id) == mine
