"""Marketing preferences: what is made of them, and when they are dated."""

from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from twc.customer.v2.customer_pb2 import Customer

from tests.support import builders
from tests.support.steps import LATER, copy, refusals, refused, settled, stored, timestamp
from twc_customer_server.customers import update
from twc_customer_server.customers.context import ValidationContext
from twc_customer_server.errors import Violation

SINGLE, CONFIRMED = Customer.single_opt_in, Customer.confirmed_opt_in
UNKNOWN = Customer.unknown

DATED_NOW = timestamp("2026-03-04T05:06:07.891Z")
DATED_LATER = timestamp("2026-03-05T05:06:07.891Z")
GIVEN = timestamp("2022-06-20T06:21:32.358999Z")
GIVEN_KEPT = timestamp("2022-06-20T06:21:32.358Z")

# What a request says, and the preferences that are stored.
CREATED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nothing": ({}, {"accepts_marketing": False}),
    "accepted": (
        {"accepts_marketing": True},
        {"accepts_marketing": True, "marketing_optin_level": UNKNOWN},
    ),
    "accepted with no level": (
        {"accepts_marketing": True, "marketing_optin_level": 0},
        {"accepts_marketing": True, "marketing_optin_level": UNKNOWN},
    ),
    "accepted with a level": (
        {"accepts_marketing": True, "marketing_optin_level": SINGLE},
        {"accepts_marketing": True, "marketing_optin_level": SINGLE},
    ),
    "declined": ({"accepts_marketing": False}, {"accepts_marketing": False}),
    "declined with no level": (
        {"accepts_marketing": False, "marketing_optin_level": 0},
        {"accepts_marketing": False},
    ),
}

# Levels that a request states, but no acceptance.
NOT_ACCEPTED: dict[str, dict[str, Any]] = {
    "declined": {"accepts_marketing": False, "marketing_optin_level": CONFIRMED},
    "unknown": {"accepts_marketing": False, "marketing_optin_level": UNKNOWN},
    "a level alone": {"marketing_optin_level": SINGLE},
}

YES: dict[str, Any] = {"accepts_marketing": True, "marketing_optin_level": SINGLE}
NO: dict[str, Any] = {"accepts_marketing": False}

# What is stored, what an update says, and the preferences that are stored then.
CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "accepts": (NO, {"accepts_marketing": True}, YES | {"marketing_optin_level": UNKNOWN}),
    "accepts with a level": (NO, YES, YES),
    "declines": (YES, NO, NO),
    "other level": (
        YES,
        {"marketing_optin_level": CONFIRMED},
        YES | {"marketing_optin_level": CONFIRMED},
    ),
    "unspecified level": (
        YES,
        {"marketing_optin_level": 0},
        YES | {"marketing_optin_level": UNKNOWN},
    ),
}

REPEATS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nothing": (YES, {}),
    "something else": (YES, {"first_name": "Ada"}),
    "same acceptance": (YES, {"accepts_marketing": True}),
    "same level": (YES, {"marketing_optin_level": SINGLE}),
    "same refusal": (NO, NO),
}


def _preferences(customer: Customer) -> dict[str, Any]:
    return {
        field.name: value
        for field, value in customer.ListFields()
        if field.name in ("accepts_marketing", "marketing_optin_level")
    }


def _updated(customer: Customer, *mask: str, **fields: Any) -> Customer:
    """The customer after an update at LATER."""
    update.update(customer, Customer(**fields), FieldMask(paths=mask), ValidationContext(LATER))
    return customer


@pytest.mark.parametrize(("given", "kept"), CREATED.values(), ids=CREATED)
def test_level_of_new_customer(given: dict[str, Any], kept: dict[str, Any]) -> None:
    """The level is not set unless marketing is accepted, and then unknown by default."""
    assert _preferences(settled(builders.customer(**given))) == kept


@pytest.mark.parametrize("given", NOT_ACCEPTED.values(), ids=NOT_ACCEPTED)
def test_level_without_acceptance(given: dict[str, Any]) -> None:
    """A level without acceptance is refused, on create, and on update of one who accepts none."""
    violations = [
        Violation("marketing_optin_level", "must not be set unless accepts_marketing is true")
    ]

    assert refused(builders.customer(**given)) == violations
    assert refusals(lambda: _updated(stored(**NO), **given)) == violations
    assert _preferences(_updated(stored(**YES), marketing_optin_level=CONFIRMED)) == YES | {
        "marketing_optin_level": CONFIRMED
    }


def test_stored_level_without_acceptance() -> None:
    """A level that is stored without acceptance is dropped by the next change, whatever that is."""
    for change in ({"first_name": "Ada"}, {"marketing_optin_level": SINGLE}):
        customer = stored(**NO)
        customer.marketing_optin_level = SINGLE

        assert _preferences(_updated(customer, **change)) == NO

    customer = stored(**NO)
    customer.marketing_optin_level = SINGLE
    update.add_address(customer, builders.address(), ValidationContext(LATER))

    assert _preferences(customer) == NO


@pytest.mark.parametrize("given", [YES, NO], ids=["accepted", "declined"])
def test_date_of_stated_preferences(given: dict[str, Any]) -> None:
    """Preferences that a request states are dated now, to the millisecond."""
    customer = settled(builders.customer(**given))

    assert customer.marketing_preferences_updated_at == DATED_NOW


def test_date_of_unstated_preferences() -> None:
    """Preferences that are none but by default have no date."""
    assert not settled(builders.customer()).HasField("marketing_preferences_updated_at")


def test_given_date_on_create() -> None:
    """A date that comes with the preferences stays, cut to the millisecond."""
    customer = settled(builders.customer(**YES, marketing_preferences_updated_at=GIVEN))

    assert customer.marketing_preferences_updated_at == GIVEN_KEPT


@pytest.mark.parametrize(("before", "given", "after"), CHANGES.values(), ids=CHANGES)
def test_date_of_changed_preferences(
    before: dict[str, Any], given: dict[str, Any], after: dict[str, Any]
) -> None:
    """Preferences that an update changes are settled, and dated when it does."""
    customer = _updated(stored(**before), **given)

    assert _preferences(customer) == after
    assert customer.marketing_preferences_updated_at == DATED_LATER


@pytest.mark.parametrize(("before", "given"), REPEATS.values(), ids=REPEATS)
def test_date_of_repeated_preferences(before: dict[str, Any], given: dict[str, Any]) -> None:
    """Preferences that an update leaves as they are keep their date."""
    customer = _updated(stored(**before), **given)

    assert _preferences(customer) == before
    assert customer.marketing_preferences_updated_at == DATED_NOW


@pytest.mark.parametrize(
    ("before", "given", "date"),
    [(NO, YES, GIVEN), (YES, YES, GIVEN), (YES, {}, GIVEN)],
    ids=["with a change", "with a repetition", "alone"],
)
def test_given_date_on_update(
    before: dict[str, Any], given: dict[str, Any], date: Timestamp
) -> None:
    """A date that an update gives stays, cut to the millisecond."""
    customer = _updated(stored(**before), **given, marketing_preferences_updated_at=date)

    assert customer.marketing_preferences_updated_at == GIVEN_KEPT


def test_date_outside_the_mask() -> None:
    """A date that the mask does not name is not given with a change."""
    customer = _updated(
        stored(**NO), "accepts_marketing", **YES, marketing_preferences_updated_at=GIVEN
    )

    assert _preferences(customer) == YES | {"marketing_optin_level": UNKNOWN}
    assert customer.marketing_preferences_updated_at == DATED_LATER


def test_cleared_acceptance() -> None:
    """A customer whose acceptance is cleared accepts no marketing from then on."""
    customer = _updated(stored(**YES), "accepts_marketing")

    assert _preferences(customer) == NO
    assert customer.marketing_preferences_updated_at == DATED_LATER


@pytest.mark.parametrize("more", [0, 1, 999_999])
def test_withdrawal_in_whole_customer(more: int) -> None:
    """Consent withdrawn in a customer that was read whole is dated then, not when it was given.

    Likewise if the client knows more digits of the time than are stored.
    """
    customer = stored(accepts_marketing=True)
    request = copy(customer)
    request.marketing_preferences_updated_at.nanos += more
    request.accepts_marketing = False
    update.update(customer, request, FieldMask(), ValidationContext(LATER))

    assert customer.marketing_preferences_updated_at == DATED_LATER
