"""ACCEPT_EMAIL_DOTS: e-mail addresses of carriers, with dots where standards have none."""

from typing import Any

import pytest
from twc.customer.v2 import customer_service_pb2 as pb
from twc.customer.v2.customer_pb2 import Customer

from tests.support.builders import address, customer
from tests.support.client import Client, failure
from tests.support.servers import Server

DOTTED, OTHER = "a..b@docomo.ne.jp", "ab.@ezweb.ne.jp"


def _lookup(client: Client, email: str) -> list[Customer]:
    return client.lookup(pb.LookupCustomersRequest(email=email))


@pytest.fixture
def created(own_database: dict[str, Any]) -> Customer:
    """A customer with dots in all e-mail addresses, that a server with the setting stored."""
    with Server(**own_database, accept_email_dots=True) as server:
        client = server.client("acme")
        client.validate(customer(email=DOTTED))
        created = client.create(customer(email=OTHER, addresses=[address(email=DOTTED)]))
        client.update(Customer(id=created.id, email=DOTTED))
        return client.add_address(created.id, address(email=OTHER))


def test_accepted_email_dots(own_database: dict[str, Any], created: Customer) -> None:
    """What was stored with the setting is found, and may be changed, without it."""
    assert created.email == DOTTED
    with Server(**own_database) as server:
        client = server.client("acme")
        assert _lookup(client, "A..B@docomo.ne.jp") == [created]
        updated = client.update(Customer(id=created.id, first_name="Ada"))
        assert (updated.email, updated.addresses[1].email) == (DOTTED, OTHER)


def test_refused_email_dots(client: Client) -> None:
    """Without the setting no such address is stored."""
    stored = client.create(customer())
    for act in (
        lambda: client.create(customer(email=DOTTED)),
        lambda: client.validate(customer(email=DOTTED)),
        lambda: client.update(Customer(id=stored.id, email=DOTTED)),
        lambda: client.add_address(stored.id, address(email=DOTTED)),
    ):
        assert set(failure(act).fields) == {"email"}
