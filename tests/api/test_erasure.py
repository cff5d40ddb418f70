"""RestoreCustomer and EraseCustomer: who may, what is left, and what readers of changes see."""

import logging
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Attribute, AttributeGroup, Customer

from tests.api.samples import FULL
from tests.support.builders import UNKNOWN_ID, address, customer
from tests.support.client import Client, failure, read_failure, send, tenant_header
from tests.support.in_process import InProcessServer
from tests.support.server_process import Start, wait_until
from tests.support.servers import Server
from tests.support.tokens import trust, trusted_issuer
from tests.support.traces import rows_with
from twc_customer_server.databases import open_database
from twc_customer_server.settings.model import Settings
from twc_customer_server.storage import purging
from twc_customer_server.storage.database import shut_down_after

CHANGE = pb.CustomerChange


def with_mark(mark: str) -> Customer:
    """A customer of a request with a mark in all that identifies a person."""
    where = address(address1=f"{mark} street", phone=f"{mark}-0", email=f"{mark}@example.org")
    size = AttributeGroup(attributes={mark: Attribute(attribute_value=mark)})
    return customer(
        email=f"{mark}@example.com",
        first_name=mark,
        last_name=f"{mark} last",
        customer_ref=f"ref-{mark}",
        alternate_customer_ref=f"alt-{mark}",
        addresses=[where],
        attribute_groups={mark: size},
    )


def kinds(changes: pb.ListCustomerChangesResponse) -> list[tuple[str, int]]:
    """Of each change the customer's id and what happened."""
    return [(it.customer.id or it.tombstone.id, it.kind) for it in changes.changes]


def test_erase(client: Client) -> None:
    """An erased customer is found by nothing, its values are free, and it cannot be restored."""
    erased = client.create(Customer(**FULL))
    client.erase(erased.id)
    assert client.headers["x-http-code"] == "204"
    assert client.get(erased.id) == Customer()
    assert client.list_page(pb.ListCustomersRequest()).customers == []
    assert failure(lambda: client.restore(erased.id)).reason == "RESOURCE_NOT_FOUND"
    client.create(Customer(**FULL))


@pytest.mark.parametrize("customer_id", ["again", UNKNOWN_ID])
def test_erase_what_is_not_there(client: Client, customer_id: str) -> None:
    """To erase what was erased before, or never was, succeeds and changes nothing."""
    erased = client.create(customer())
    client.erase(erased.id)
    before = client.changes()
    client.erase(erased.id if customer_id == "again" else customer_id)
    assert client.headers["x-http-code"] == "204"
    assert client.changes() == before


def test_erase_by_another_tenant(client: Client, foreigner: Client) -> None:
    """Another tenant's customer is neither erased nor restored."""
    live, deleted = client.create(customer()), client.create(customer())
    client.delete(deleted.id)
    foreigner.erase(live.id)
    foreigner.erase(deleted.id)
    assert failure(lambda: foreigner.restore(deleted.id)).reason == "RESOURCE_NOT_FOUND"
    assert client.get(live.id) == live
    assert client.restore(deleted.id).email == deleted.email


def test_traces_in_tables(own_database: dict[str, Any]) -> None:
    """After an erasure no row has a text of the customer, nor an answer that was kept of it."""
    mark = "zqmarkzq"
    with Server(**own_database) as server:
        client = server.client("acme")
        keyed = [client.given(idempotency_key=f"{mark}-{number}") for number in range(5)]
        first = keyed[0].create(with_mark(f"{mark}-1"))
        keyed[1].update(Customer(id=first.id, first_name=f"{mark} other"))
        keyed[2].add_address(first.id, address(city=mark))
        client.delete(first.id)
        keyed[3].restore(first.id)
        client.delete(first.id)
        other = customer(email="stays@example.com")
        results = keyed[4].upload([with_mark(f"{mark}-2"), other])
        second, other = (it.customer for it in results)
        client.erase(first.id)
        client.erase(second.id)
        assert client.get(other.id) == other
    settings = Settings(**own_database, **trust())
    with shut_down_after(open_database(settings)) as database:
        database.prepare()
        assert rows_with(database, mark) == []
        assert rows_with(database, "stays@example.com")
        # They are compressed.
        assert database.rows("SELECT COUNT(*) FROM outcome WHERE tenant = 'acme'", {}) == [(0,)]


def test_traces_in_logs(start: Start) -> None:
    """Neither logs nor metrics have a text of a customer that is restored, clashes or is erased."""
    server = start(LOG_LEVEL="DEBUG")
    client = server.client("acme")
    mark = "zqmarkzq"
    first = client.create(with_mark(mark))
    client.delete(first.id)
    second = client.create(with_mark(mark))
    failure(lambda: client.restore(first.id))
    client.erase(second.id)
    client.restore(first.id)
    client.erase(first.id)
    assert server.stop() == 0
    assert "EraseCustomer" in server.log()
    assert mark not in server.log()


def test_changes_of_erasure(client: Client) -> None:
    """Who follows the changes, or exports, sees an erased customer deleted, also once more."""
    live, deleted = client.create(customer()), client.create(customer())
    client.delete(deleted.id)
    cursor = client.changes().next_cursor
    since = [*client.export()][-1].next_cursor
    client.erase(live.id)
    client.erase(deleted.id)

    changes = client.changes(cursor=cursor)

    assert sorted(kinds(changes)) == sorted((it.id, CHANGE.DELETED) for it in (live, deleted))
    assert all(it.tombstone.HasField("delete_time") for it in changes.changes)
    export = pb.ExportCustomersRequest(cursor=since, include_deleted=True)
    tombstones = [it for part in client.export(export) for it in part.tombstones]
    assert {it.id for it in tombstones} == {live.id, deleted.id}
    assert list(client.changes().changes) == list(changes.changes)


def test_restore(client: Client) -> None:
    """A restored customer is as it was, but for its date and tag; to readers it is an update."""
    created = client.create(Customer(**FULL))
    tag = client.etag
    client.delete(created.id)
    cursor = client.changes().next_cursor

    restored = client.restore(created.id)

    assert client.etag != tag
    assert "x-http-code" not in client.headers
    assert client.get(created.id) == restored == client.get_by_ref(created.customer_ref)
    assert kinds(client.changes(cursor=cursor)) == [(created.id, CHANGE.UPDATED)]
    assert restored.last_modified_date.ToNanoseconds() > created.last_modified_date.ToNanoseconds()
    restored.last_modified_date.CopyFrom(created.last_modified_date)
    assert restored == created


def test_restore_of_live_customer(client: Client) -> None:
    """A customer that is not deleted stays as it is, and the error says so (AIP-164)."""
    created = client.create(customer())
    refused = failure(lambda: client.restore(created.id))
    assert refused.code is grpc.StatusCode.ALREADY_EXISTS
    assert (refused.reason, refused.owners) == ("NOT_DELETED", {})
    assert client.get(created.id) == created


def test_restore_with_taken_values(client: Client) -> None:
    """Values that others have by now keep a customer deleted; the error names fields and owners."""
    created = client.create(Customer(**FULL))
    client.delete(created.id)
    other = client.create(customer(email=created.email, customer_ref=created.customer_ref))
    refused = failure(lambda: client.restore(created.id))
    assert refused.code is grpc.StatusCode.ALREADY_EXISTS
    assert refused.owners == {"email": other.id, "customerRef": other.id}
    assert client.get(created.id) == Customer()
    client.delete(other.id)
    assert client.restore(created.id).id == created.id


def test_repeated_restoration(client: Client) -> None:
    """A restoration with a key is repeated without effect, and without it is refused."""
    created = client.create(customer())
    client.delete(created.id)
    keyed = client.given(idempotency_key="key")
    restored, tag = keyed.restore(created.id), keyed.etag
    client.delete(created.id)
    assert keyed.restore(created.id) == restored
    assert keyed.etag == tag
    assert client.get(created.id) == Customer()
    assert failure(lambda: keyed.create(customer())).reason == "IDEMPOTENCY_KEY_REUSED"


@pytest.mark.parametrize("deleted", [False, True])
def test_conditions(client: Client, *, deleted: bool) -> None:
    """With If-Match a customer is erased, and restored, only as the caller has read it."""
    created = client.create(customer())
    tag = client.etag
    if deleted:
        client.delete(created.id)
        stale = client.given(if_match='"stale"')
        assert failure(lambda: stale.restore(created.id)).reason == "ETAG_MISMATCH"
        client.given(if_match=tag).restore(created.id)
        tag = client.etag if client.get(created.id) else ""
        client.delete(created.id)
    assert failure(lambda: client.given(if_match='"stale"').erase(created.id)).reason == (
        "ETAG_MISMATCH"
    )
    client.given(if_match=tag).erase(created.id)
    client.given(if_match=tag).erase(created.id)
    assert failure(lambda: client.restore(created.id)).reason == "RESOURCE_NOT_FOUND"


class Guarded:
    """A server with settings of scopes, and calls with tokens of any claims."""

    def __init__(self, server: InProcessServer) -> None:
        self._server = server
        self._owner = server.client("acme")

    def erase_with(self, **claims: Any) -> str:
        """Erases a new customer with a token; returns the reason of a refusal."""
        created = self._owner.create(customer())
        token = trusted_issuer().token(tenant="acme", **claims)
        # The second call finds the token among those that were verified before.
        reasons = {erase_with(self._server.channel, token, "acme", created.id) for _ in range(2)}
        assert (self._owner.get(created.id) == created) == ("" not in reasons)
        [reason] = reasons
        return reason


def erase_with(channel: grpc.Channel, token: str, tenant: str, customer_id: str) -> str:
    """Erases a customer with a token; returns the reason of a refusal."""
    metadata = (("authorization", f"Bearer {token}"), tenant_header(tenant))
    try:
        request = pb.EraseCustomerRequest(id=customer_id).SerializeToString()
        send(channel, "EraseCustomer", request, metadata)
    except grpc.RpcError as error:
        return read_failure(error).reason
    return ""


@pytest.fixture
def guarded(tmp_path: Any, request: pytest.FixtureRequest) -> Iterator[Guarded]:
    """A server with the settings of the test's parameter."""
    with Server(data_dir=tmp_path, **request.param) as server:
        yield Guarded(server)


ROLES = {"scope_claim": "realm_access.roles", "erase_scope": "privacy-officer"}
OFFICER = {"realm_access": {"roles": ["user", "privacy-officer"]}}


@pytest.mark.parametrize(
    ("guarded", "claims", "reason"),
    [
        ({}, {"scope": "customers:erase"}, ""),
        ({}, {"scope": "openid customers:erase"}, ""),
        ({}, {"scope": "customers:erase:none customers:read"}, "SCOPE_REQUIRED"),
        ({}, {"scope": "Customers:Erase"}, "SCOPE_REQUIRED"),
        ({}, {}, "SCOPE_REQUIRED"),
        ({}, {"scope": "*"}, "SCOPE_REQUIRED"),
        ({}, {"scp": ["customers:erase"]}, "SCOPE_REQUIRED"),
        ({"scope_claim": "scp"}, {"scp": ["customers:erase"]}, ""),
        (ROLES, OFFICER, ""),
        (ROLES, {"scope": "privacy-officer"}, "SCOPE_REQUIRED"),
        ({"erase_scope": "*"}, {}, ""),
    ],
    indirect=["guarded"],
)
def test_scope(guarded: Guarded, claims: dict[str, Any], reason: str) -> None:
    """Only a token with the scope that the settings name erases, by the claim that they name."""
    assert guarded.erase_with(**claims) == reason


def test_error_of_missing_scope(channel: grpc.Channel, tenant: str) -> None:
    """A token without the scope is refused before anything is looked at, and told what it lacks."""
    token = trusted_issuer().token(tenant=tenant)
    metadata = (("authorization", f"Bearer {token}"), tenant_header(tenant))
    request = pb.EraseCustomerRequest(id="none").SerializeToString()
    refused = failure(lambda: send(channel, "EraseCustomer", request, metadata))
    assert refused.code is grpc.StatusCode.PERMISSION_DENIED
    assert (refused.reason, refused.owners) == ("SCOPE_REQUIRED", {"scope": "customers:erase"})
    assert "customers:erase" in refused.message


def test_retention(
    own_database: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server erases customers by itself some time after their deletion, and no others."""
    for name in ("PERIOD_SECONDS", "RETRY_SECONDS"):
        monkeypatch.setattr(purging, name, 0.1)
    erased = {}
    with Server(**own_database, deleted_retention_days=0) as server:
        live = server.client("acme").create(customer())
        for tenant in ("acme", "globex"):
            client = server.client(tenant)
            deleted = client.create(customer()).id
            client.delete(deleted)
            erased[tenant] = (deleted, client.changes().next_cursor)

    caplog.set_level(logging.WARNING)
    with Server(**own_database, deleted_retention_days=1e-6) as server:
        for tenant, (deleted, cursor) in erased.items():
            client = server.client(tenant)
            seen = [(deleted, CHANGE.DELETED)]
            wait_until(
                lambda client=client, cursor=cursor, seen=seen: (  # type: ignore[misc]
                    kinds(client.changes(cursor=cursor)) == seen
                )
            )
            refused = failure(lambda client=client, it=deleted: client.restore(it))  # type: ignore[misc]
            assert refused.reason == "RESOURCE_NOT_FOUND"
        assert server.client("acme").get(live.id) == live
    assert caplog.records == []


def test_no_retention(own_database: dict[str, Any]) -> None:
    """By default a customer that was deleted just now stays when servers start."""
    for _ in range(2):
        with Server(**own_database) as server:
            client = server.client("acme")
            created = client.create(customer())
            client.delete(created.id)
            assert client.restore(created.id).email == created.email
