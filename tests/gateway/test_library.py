"""The Python library works through the gateway as it does with a server."""

from collections.abc import Iterator

import pytest

from tests.support.builders import UNKNOWN_ID, customer
from tests.support.tokens import token_for
from twc_customer_client import CustomerClient, errors
from twc_customer_gateway.supervisor.stack import Stack


@pytest.fixture
def customers(stack: Stack, tenant: str) -> Iterator[CustomerClient]:
    """A client of the gateway's port."""
    address = f"{stack.settings.bind}:{stack.settings.gateway_port}"
    with CustomerClient(address, tenant=tenant, token=token_for(tenant)) as client:
        yield client


def test_calls(customers: CustomerClient) -> None:
    """Calls, conditions and pages pass."""
    first, second = (it.customer for it in customers.upload([customer(), customer()]))
    assert first
    assert second
    _, etag = customers.get_versioned(first.id)

    assert customers.get_if_changed(first.id, etag) is None
    assert customers.update_fields(first.id, first_name="Ada", if_match=etag).first_name == "Ada"
    with pytest.raises(errors.EtagMismatch):
        customers.delete(first.id, if_match=etag)
    assert [it.id for it in customers.list(page_size=1)] == [first.id, second.id]
    assert [it.id for it in customers.lookup(email=second.email)] == [second.id]


def test_streams(customers: CustomerClient) -> None:
    """Imports, exports and the feed of changes pass."""
    results = customers.import_customers(customer() for _ in range(900))
    assert {it.outcome for it in results} == {"created"}
    export = customers.export()
    assert sum(1 for _ in export) == 900

    with customers.follow(export.cursor) as feed:
        created = customers.create(customer())
        assert next(feed).customer == created


def test_errors(customers: CustomerClient) -> None:
    """Errors have their reasons, and an id by which logs have the call."""
    with pytest.raises(errors.NotFound) as raised:
        customers.restore(UNKNOWN_ID)
    assert raised.value.reason == "RESOURCE_NOT_FOUND"
    assert raised.value.request_id
    stored = customers.create(customer())
    with pytest.raises(errors.AlreadyExists) as clash:
        customers.create(customer(email=stored.email))
    assert clash.value.clashes == {"email": stored.id}
