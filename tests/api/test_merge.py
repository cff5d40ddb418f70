"""MergeCustomers: one customer takes what it lacks from another one, which is deleted."""

from collections.abc import Callable
from functools import partial
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import AttributeGroup, Customer

from tests.api.samples import CUSTOMER_TYPE, FULL
from tests.support.builders import UNKNOWN_ID, address, customer
from tests.support.client import Client, Failure, failure, read_failure
from tests.support.concurrency import at_once

Found = Callable[[Client], Customer]

# The unique values of the customer FULL, and how it is found by each.
UNIQUE: dict[str, Found] = {
    "email": lambda client: client.get_by_email("ada@example.com"),
    "mobile": lambda client: only(client.lookup(pb.LookupCustomersRequest(mobile="+491701234567"))),
    "phone": lambda client: only(client.lookup(pb.LookupCustomersRequest(phone="+493012345678"))),
    "customerRef": lambda client: client.get_by_ref("A-1"),
    "alternateCustomerRef": lambda client: client.get_by_alternate_ref("alt"),
}
WITH_KEYS = FULL | {"alternate_customer_ref": "alt"}
OTHER_KEYS: dict[str, Any] = {
    "email": "eve@example.com",
    "mobile": "+49 170 7654321",
    "phone": "+49 30 87654321",
    "customer_ref": "B-1",
    "alternate_customer_ref": "other",
}
# Maps, whose entries have no order.
GROUPS = {str(number): AttributeGroup(attribute_group="x") for number in range(20)}


def only(customers: list[Customer]) -> Customer:
    """The one customer of a list."""
    [one] = customers
    return one


def everyone(client: Client) -> dict[str, Customer]:
    """All customers of the tenant, by id."""
    return {it.id: it for part in client.export() for it in part.customers}


def tombstones(client: Client) -> list[pb.Tombstone]:
    """What exports and changes say of deleted customers, which is the same."""
    request = pb.ExportCustomersRequest(include_deleted=True)
    exported = [it for part in client.export(request) for it in part.tombstones]
    changed = [it.tombstone for it in client.changes().changes if it.HasField("tombstone")]
    assert sorted(changed, key=str) == sorted(exported, key=str)
    return exported


def test_merge(client: Client) -> None:
    """The kept customer is answered as it is stored, the dropped one is gone, in one change."""
    kept, dropped = client.create(customer(first_name="Ada")), client.create(customer(**FULL))
    answer = client.merge(kept.id, dropped.id)
    assert "x-http-code" not in client.headers
    merged = client.get(kept.id)
    assert answer.customer == merged
    assert (merged.email, merged.first_name, merged.last_name) == (kept.email, "Ada", "Lovelace")
    assert merged.created_date == kept.created_date
    assert merged.last_modified_date.ToMilliseconds() > kept.last_modified_date.ToMilliseconds()
    assert not merged.accepts_marketing
    assert [it.city for it in merged.addresses] == ["Berlin", "London"]
    assert everyone(client) == {kept.id: merged}


def test_tag_of_answer(client: Client) -> None:
    """The answer has the entity tag of the kept customer."""
    kept, dropped = client.create(customer()), client.create(customer(**FULL))
    client.merge(kept.id, dropped.id)
    tag = client.etag
    client.get(kept.id)
    assert client.etag == tag


def test_dropped_customer(client: Client) -> None:
    """A dropped customer is read as deleted; its tombstones say where it went."""
    kept, dropped = client.create(customer()), client.create(customer())
    answer = client.merge(kept.id, dropped.id)
    assert client.get(dropped.id) == Customer()
    assert client.headers["x-http-code"] == "204"
    assert tombstones(client) == [answer.dropped]
    assert (answer.dropped.id, answer.dropped.merged_into) == (dropped.id, kept.id)
    deleted_at = answer.dropped.delete_time.ToMilliseconds()
    assert deleted_at >= answer.customer.last_modified_date.ToMilliseconds()
    assert deleted_at > dropped.last_modified_date.ToMilliseconds()


def test_deleted_customer(client: Client) -> None:
    """A customer that was deleted, not merged, went nowhere."""
    client.delete(client.create(customer()).id)
    [tombstone] = tombstones(client)
    assert not tombstone.HasField("merged_into")


def test_changes_of_merge(client: Client) -> None:
    """The feed has the kept customer and the tombstone of the dropped one."""
    kept, dropped = client.create(customer()), client.create(customer())
    cursor = client.changes().next_cursor
    answer = client.merge(kept.id, dropped.id)
    changes = {it.kind: it for it in client.changes(cursor=cursor).changes}
    assert changes.keys() == {pb.CustomerChange.UPDATED, pb.CustomerChange.DELETED}
    assert changes[pb.CustomerChange.UPDATED].customer == answer.customer
    assert changes[pb.CustomerChange.DELETED].tombstone == answer.dropped


@pytest.mark.parametrize("field", UNIQUE)
def test_moved_key(client: Client, field: str) -> None:
    """A unique value that the kept customer lacks, or that is taken, finds it from then on."""
    kept, dropped = client.create(customer()), client.create(customer(**WITH_KEYS))
    client.merge(kept.id, dropped.id, field)
    assert UNIQUE[field](client).id == kept.id


@pytest.mark.parametrize("field", UNIQUE)
def test_replaced_key(client: Client, field: str) -> None:
    """A unique value of the kept customer in whose place another one is taken is free."""
    kept, dropped = client.create(Customer(**OTHER_KEYS)), client.create(customer(**WITH_KEYS))
    client.merge(kept.id, dropped.id, field)
    own = {
        it.name: getattr(kept, it.name) for it in kept.DESCRIPTOR.fields if it.json_name == field
    }
    new = client.create(customer(**own))
    assert everyone(client).keys() == {kept.id, new.id}


def test_all_keys_of_dropped_freed(client: Client) -> None:
    """A new customer can have all the values that a merge has not moved."""
    kept, dropped = client.create(customer(**OTHER_KEYS)), client.create(customer(**WITH_KEYS))
    client.merge(kept.id, dropped.id)
    new = client.create(customer(**WITH_KEYS))
    assert [found(client).id for found in UNIQUE.values()] == [new.id] * len(UNIQUE)


def test_same_merge_again(client: Client) -> None:
    """A merge that was made already answers the same, and changes nothing, whatever is taken."""
    kept, dropped = client.create(customer()), client.create(customer(first_name="Ada"))
    tag = client.etag
    first = client.merge(kept.id, dropped.id)
    cursor = client.changes().next_cursor
    for again in (client, client.given(if_match=tag)):
        assert again.merge(kept.id, dropped.id, "email") == first
    assert client.changes(cursor=cursor).changes == []
    changed = client.update(Customer(id=kept.id, last_name="King"))
    assert client.merge(kept.id, dropped.id).customer == changed


def test_repeat_with_key(client: Client) -> None:
    """A repeat with an Idempotency-Key has the answer of the first, also after other changes."""
    kept, dropped = client.create(customer()), client.create(customer(**FULL))
    keyed = client.given(idempotency_key="key")
    first, headers = keyed.merge(kept.id, dropped.id), keyed.headers
    client.delete(kept.id)
    assert keyed.merge(kept.id, dropped.id) == first
    assert keyed.headers == headers
    refused = failure(lambda: keyed.merge(kept.id, dropped.id, "email"))
    assert refused.reason == "IDEMPOTENCY_KEY_REUSED"


def test_dry_run_with_key(client: Client) -> None:
    """A dry run uses up no Idempotency-Key."""
    kept, dropped = client.create(customer()), client.create(customer())
    keyed = client.given(idempotency_key="key")
    keyed.merge(kept.id, dropped.id, validate_only=True)
    assert keyed.merge(kept.id, dropped.id).dropped.HasField("delete_time")
    assert client.get(dropped.id) == Customer()


def test_if_match(client: Client) -> None:
    """If-Match is a condition on the kept customer."""
    dropped = client.create(customer())
    other = client.etag
    kept = client.create(customer())
    tag = client.etag
    for validate_only in (True, False):
        merges = [
            partial(
                client.given(if_match=it).merge, kept.id, dropped.id, validate_only=validate_only
            )
            for it in (other, tag)
        ]
        assert failure(merges[0]).reason == "ETAG_MISMATCH"
        assert everyone(client) == {kept.id: kept, dropped.id: dropped}
        merges[1]()
    assert everyone(client).keys() == {kept.id}


@pytest.mark.parametrize("act", [Client.restore, Client.erase], ids=["restore", "erase"])
def test_if_match_of_dropped_customer(client: Client, act: Callable[..., object]) -> None:
    """A merged customer is restored or erased by the tag that it had before."""
    kept = client.create(customer())
    dropped = client.create(customer(attribute_groups=GROUPS))
    tag = client.etag
    client.merge(kept.id, dropped.id)
    refused = failure(partial(act, client.given(if_match='"other"'), dropped.id))
    assert refused.reason == "ETAG_MISMATCH"
    act(client.given(if_match=tag), dropped.id)


@pytest.mark.parametrize("taken", [[], ["email", "mobile", "accepts_marketing"]])
def test_dry_run(client: Client, taken: list[str]) -> None:
    """A dry run answers what the merge then makes, and stores nothing."""
    kept, dropped = client.create(customer(**OTHER_KEYS)), client.create(customer(**WITH_KEYS))
    before = everyone(client)
    cursor = client.changes().next_cursor
    dry = client.merge(kept.id, dropped.id, *taken, validate_only=True)
    assert "etag" not in client.headers
    assert everyone(client) == before
    assert client.changes(cursor=cursor).changes == []
    assert not dry.dropped.HasField("delete_time")

    made = client.merge(kept.id, dropped.id, *taken)
    for answer in (dry, made):
        answer.customer.ClearField("last_modified_date")
        answer.dropped.ClearField("delete_time")
    assert dry == made


# The customer to keep and the one to drop, by what they are or by their id, and fields to take;
# the reason of the refusal, and what it names.
REFUSED: list[tuple[list[str], str, str]] = [
    (["", "dropped"], "INVALID_INPUT", "id"),
    (["kept", ""], "INVALID_INPUT", "droppedId"),
    (["kept", "x"], "INVALID_INPUT", "droppedId"),
    (["kept", "kept"], "INVALID_INPUT", "droppedId"),
    (["kept", "KEPT"], "INVALID_INPUT", "droppedId"),
    (["kept", "dropped", "nickname"], "INVALID_INPUT", "takenFields"),
    (["kept", "dropped", "*"], "INVALID_INPUT", "takenFields"),
    ([UNKNOWN_ID, "dropped"], "RESOURCE_NOT_FOUND", "this id"),
    (["deleted", "dropped"], "RESOURCE_NOT_FOUND", "this id"),
    (["kept", UNKNOWN_ID], "RESOURCE_NOT_FOUND", "this droppedId"),
    (["kept", "deleted"], "RESOURCE_NOT_FOUND", "this droppedId"),
    (["merged", "dropped"], "ALREADY_MERGED", "this id"),
    (["kept", "merged"], "ALREADY_MERGED", "this droppedId"),
]


@pytest.mark.parametrize("validate_only", [False, True])
@pytest.mark.parametrize(
    ("given", "reason", "named"), REFUSED, ids=["-".join(it[0]) or "none" for it in REFUSED]
)
def test_refused(
    client: Client, given: list[str], reason: str, named: str, *, validate_only: bool
) -> None:
    """A merge that cannot be made says which customer or field it is about, and changes nothing."""
    names = ("kept", "dropped", "deleted", "merged", "other")
    ids = {name: client.create(customer()).id for name in names}
    ids["KEPT"] = ids["kept"].upper()
    client.delete(ids["deleted"])
    client.merge(ids["other"], ids["merged"])
    before = everyone(client)
    values = [ids.get(it, it) for it in given]
    refused = failure(lambda: client.merge(*values, validate_only=validate_only))
    assert refused.reason == reason
    assert everyone(client) == before
    if reason == "INVALID_INPUT":
        assert [*refused.fields] == [named]
    else:
        assert f"{named} " in f"{refused.message} "


@pytest.mark.parametrize("field", ["id", "droppedId"])
def test_already_merged(client: Client, field: str) -> None:
    """A customer that was merged already is told with the customer that it went to."""
    kept, merged, other = (client.create(customer()).id for _ in range(3))
    client.merge(kept, merged)
    ids = (merged, other) if field == "id" else (other, merged)
    refused = failure(lambda: client.merge(*ids))
    assert refused.code is grpc.StatusCode.FAILED_PRECONDITION
    assert refused.reason == "ALREADY_MERGED"
    assert refused.owners == {field: kept}
    assert refused.resources == [(CUSTOMER_TYPE, kept)]
    assert kept in refused.message


def test_crosswise_merge_after_another(client: Client) -> None:
    """The dropped customer of a merge cannot be kept in the next one."""
    one, other = client.create(customer()), client.create(customer())
    client.merge(one.id, other.id)
    refused = failure(lambda: client.merge(other.id, one.id))
    assert refused.owners == {"id": one.id}


@pytest.mark.parametrize("validate_only", [False, True])
def test_violations_of_merged_customer(client: Client, *, validate_only: bool) -> None:
    """A merged customer that breaks a rule is refused with the paths of its fields."""
    kept, dropped = (
        client.create(customer(addresses=[address(city=f"{name} {n}") for n in range(51)]))
        for name in "ab"
    )
    refused = failure(lambda: client.merge(kept.id, dropped.id, validate_only=validate_only))
    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.fields == {"addresses": "must hold at most 100 addresses"}
    assert everyone(client) == {kept.id: kept, dropped.id: dropped}


def test_merge_of_another_tenant(client: Client, foreigner: Client) -> None:
    """Another tenant's customers are missing, as the kept one and as the dropped one."""
    mine, foreign = client.create(customer()), foreigner.create(customer())
    for merge in (
        partial(client.merge, mine.id, foreign.id),
        partial(client.merge, foreign.id, mine.id),
    ):
        assert failure(merge).reason == "RESOURCE_NOT_FOUND"
    assert foreigner.get(foreign.id) == foreign


def test_mark_of_merge_in_a_request(client: Client) -> None:
    """No client sets where a customer was merged to."""
    created = client.create(customer(merged_into=UNKNOWN_ID))
    assert not created.HasField("merged_into")
    updated = client.update(Customer(id=created.id, merged_into=UNKNOWN_ID), "mergedInto")
    assert not updated.HasField("merged_into")
    client.delete(created.id)
    assert not tombstones(client)[0].HasField("merged_into")


def test_chain_of_merges(client: Client) -> None:
    """A customer that was merged keeps saying where it went, when that one is merged further."""
    first, second, third = (client.create(customer()).id for _ in range(3))
    client.merge(second, first)
    client.merge(third, second)
    assert {it.id: it.merged_into for it in tombstones(client)} == {first: second, second: third}


def test_time_of_consent(client: Client) -> None:
    """Consent that is taken has the time at which it was given."""
    time = Timestamp(seconds=1_600_000_000, nanos=1_000_000)
    kept, dropped = client.create(customer()), client.create(customer(**FULL))
    merged = client.merge(kept.id, dropped.id, "accepts_marketing").customer
    assert merged.accepts_marketing
    assert merged.marketing_optin_level == Customer.single_opt_in
    assert merged.marketing_preferences_updated_at == time


def outcome(act: Callable[[], Any]) -> Failure | None:
    """How an act failed, if it did."""
    try:
        act()
    except grpc.RpcError as error:
        return read_failure(error)
    return None


def test_crosswise_merges_at_once(client: Client) -> None:
    """Of two merges of one pair at once, crosswise, one is made, and the other told where to."""
    for _ in range(20):
        one, other = client.create(customer()).id, client.create(customer()).id
        merges = [partial(client.merge, one, other), partial(client.merge, other, one)]
        outcomes = at_once([partial(outcome, act) for act in merges])
        [refused] = [it for it in outcomes if it]
        winner = one if outcomes[0] is None else other
        assert (refused.reason, refused.owners) == ("ALREADY_MERGED", {"id": winner})
        assert everyone(client).keys() == {winner}
        client.delete(winner)


def test_same_merge_at_once(client: Client) -> None:
    """A merge that comes several times at once is made once, and answered to all."""
    kept, dropped = client.create(customer()).id, client.create(customer(**FULL)).id
    answers = at_once([partial(client.merge, kept, dropped)] * 8)
    assert answers == answers[:1] * 8


def test_merge_beside_updates(client: Client) -> None:
    """A merge loses no change of either customer that was made before it."""
    for _ in range(10):
        kept, dropped = client.create(customer()).id, client.create(customer()).id
        cities = [f"City {number}" for number in range(4)]
        add = [
            partial(outcome, partial(client.add_address, each, address(city=f"{city} of {each}")))
            for city in cities
            for each in (kept, dropped)
        ]
        *outcomes, merge = at_once([*add, partial(outcome, partial(client.merge, kept, dropped))])
        assert merge is None
        found = {it.city for it in client.get(kept).addresses}
        made = {
            f"{city} of {each}"
            for (city, each), failed in zip(
                ((city, each) for city in cities for each in (kept, dropped)),
                outcomes,
                strict=True,
            )
            if failed is None
        }
        assert found == made
        assert {it.reason for it in outcomes if it} <= {"RESOURCE_NOT_FOUND"}


def test_ring_of_merges_at_once(client: Client) -> None:
    """Merges in a ring at once end: at least one customer remains, and each other leads to one."""
    ids = [client.create(customer()).id for _ in range(6)]
    pairs = [*zip(ids, ids[1:] + ids[:1], strict=True)]
    outcomes = at_once([partial(outcome, partial(client.merge, *pair)) for pair in pairs])
    assert {it.reason for it in outcomes if it} <= {"ALREADY_MERGED"}
    left = everyone(client).keys()
    where = {it.id: it.merged_into for it in tombstones(client)}
    assert left
    assert left | where.keys() == {*ids}
    assert {*where.values()} <= {*ids}
