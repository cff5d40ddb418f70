"""What a customer that is kept takes from the one that is dropped."""

from contextlib import suppress
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from twc.customer.v2.customer_pb2 import (
    Address,
    Attribute,
    AttributeGroup,
    Customer,
    OptinPreferences,
)

from tests.support import builders
from tests.support.steps import EXAMPLES, LATER, cities, copy, fields_of, refusals, stored
from twc_customer_server.customers import merging
from twc_customer_server.customers.context import ValidationContext
from twc_customer_server.customers.customer import (
    SERVER_FIELDS,
    normalize_and_validate,
    set_server_fields,
)
from twc_customer_server.errors import InvalidInput

CHOOSABLE = sorted(
    set(Customer.DESCRIPTOR.fields_by_name)
    - SERVER_FIELDS
    - {"addresses", "tax_exemptions"}
    - {"verified_email", "marketing_optin_level", "marketing_preferences_updated_at"}
)
TIME = Timestamp(seconds=1_600_000_000, nanos=1_000_000)

# Values that a customer may lack; those of consent are apart.
SINGLE: dict[str, tuple[Any, Any]] = {
    "customer_ref": ("A-1", "B-1"),
    "first_name": ("Ada", "Augusta"),
    "last_name": ("Lovelace", "King"),
    "mobile": ("+491701234567", "+491701234568"),
    "phone": ("+493012345678", "+493012345679"),
    "dob": ("1815-12-10", "1816-12-10"),
    "alternate_customer_ref": ("a", "b"),
    "vip_status": ("gold", "silver"),
    "loyalty_tier": ("1", "2"),
    "spend_to_next_tier": (1.5, 0.0),
    "joined_store_id": ("Berlin", "Rom"),
}
# Values that every customer has.
ALWAYS: dict[str, tuple[Any, Any]] = {
    "email": ("ada@example.com", "augusta@example.com"),
    "active": (True, False),
    "customerState": (Customer.enabled, Customer.invited),
    "tax_exempt": (False, True),
}


def merged(kept: Customer, dropped: Customer, *taken: str) -> Customer:
    """The kept customer after a merge is stored; the dropped one stays as it is."""
    before = copy(dropped)
    fields = merging.taken_fields(FieldMask(paths=taken))
    merging.merge(kept, dropped, fields, ValidationContext(LATER))
    set_server_fields(kept, LATER)
    assert dropped == before
    return kept


def group(description: str | None = None, **attributes: str) -> AttributeGroup:
    """A group of attributes that are texts."""
    values = {name: Attribute(attribute_value=value) for name, value in attributes.items()}
    return AttributeGroup(attributes=values, description=description)


@pytest.mark.parametrize("field", [*SINGLE, *ALWAYS])
def test_value_of_both(field: str) -> None:
    """Of a field that both have, the kept customer's value stays, unless the other's is taken."""
    mine, other = (SINGLE | ALWAYS)[field]

    for taken, wanted in (((), mine), ((field,), other)):
        kept = merged(stored(**{field: mine}), stored(**{field: other}), *taken)
        assert getattr(kept, field) == wanted


@pytest.mark.parametrize("field", SINGLE)
@pytest.mark.parametrize("is_taken", [False, True])
def test_value_of_one(field: str, *, is_taken: bool) -> None:
    """A value that only one of both has is the merged customer's, chosen or not."""
    taken = [field] if is_taken else []
    for value in SINGLE[field]:
        assert getattr(merged(stored(), stored(**{field: value}), *taken), field) == value
        assert getattr(merged(stored(**{field: value}), stored(), *taken), field) == value


@pytest.mark.parametrize("blank", ["", " ", "\t"])
def test_blank_text(blank: str) -> None:
    """A blank text is no value: it neither stays nor is taken."""
    assert merged(stored(last_name=blank), stored(last_name="King")).last_name == "King"
    kept = merged(stored(last_name="King"), stored(last_name=blank), "last_name")
    assert kept.last_name == "King"


def test_server_fields() -> None:
    """The kept customer keeps its id and date of creation, and has no mark of a merge."""
    kept, dropped = stored(), stored()
    dropped.created_date.CopyFrom(TIME)
    dropped.merged_into = "another"
    before = copy(kept)

    merged(kept, dropped)

    assert (kept.id, kept.created_date) == (before.id, before.created_date)
    assert not kept.HasField("merged_into")


@pytest.mark.parametrize(
    ("mine", "other", "taken", "wanted"),
    [
        ("2001-05-28", "1999-01-01", [], "1999-01-01"),
        ("1999-01-01", "2001-05-28", [], "1999-01-01"),
        ("1999-01-01", "2001-05-28", ["memberSince"], "2001-05-28"),
        ("1999-01-01T00:30:00+01:00", "1999-01-01", [], "1999-01-01T00:30:00+01:00"),
        (None, "2001-05-28", [], "2001-05-28"),
        ("2001-05-28", None, ["memberSince"], "2001-05-28"),
        (None, None, [], ""),
    ],
)
def test_member_since(mine: str | None, other: str | None, taken: list[str], wanted: str) -> None:
    """The merged customer is a member since the earlier date, unless the other's is taken."""
    kept = merged(stored(member_since=mine), stored(member_since=other), *taken)

    assert kept.member_since == wanted


def test_blank_member_since() -> None:
    """A blank date is none."""
    kept = stored()
    kept.member_since = " "

    assert merged(kept, stored(member_since="1999-01-01")).member_since == "1999-01-01"


def test_unreadable_member_since() -> None:
    """A stored date that cannot be compared stays."""
    kept, dropped = stored(), stored(member_since="2001-05-28")
    kept.member_since = "spring of 1999"

    assert fields_of(refusals(lambda: merged(kept, dropped))) == ["memberSince"]
    assert kept.member_since == "spring of 1999"


@pytest.mark.parametrize("is_verified", [False, True])
def test_verified_email(*, is_verified: bool) -> None:
    """Whether an address is verified goes with the address."""
    kept = stored(verified_email=not is_verified)
    dropped = stored(verified_email=is_verified)

    assert merged(copy(kept), dropped).verified_email != is_verified
    taken = merged(copy(kept), dropped, "email")
    assert (taken.email, taken.verified_email) == (dropped.email, is_verified)


CONSENT: dict[str, Any] = {
    "accepts_marketing": True,
    "marketing_optin_level": Customer.confirmed_opt_in,
    "marketing_preferences_updated_at": TIME,
    "optin_preferences": OptinPreferences(email=True, sms=True),
}


def test_consent_stays() -> None:
    """Consent of the dropped customer is not taken unless it is named, nor is its time."""
    for kept in (stored(), stored(accepts_marketing=False), stored(**CONSENT)):
        before = copy(kept)
        merged(kept, stored(**CONSENT))
        for field in CONSENT:
            assert getattr(kept, field) == getattr(before, field)
            assert kept.HasField(field) == before.HasField(field)


def test_consent_taken() -> None:
    """Consent that is named is taken with its form and time."""
    kept = merged(stored(accepts_marketing=False), stored(**CONSENT), "accepts_marketing")

    assert kept.accepts_marketing
    assert kept.marketing_optin_level == Customer.confirmed_opt_in
    assert kept.marketing_preferences_updated_at == TIME
    assert not kept.HasField("optin_preferences")
    assert merged(kept, stored(**CONSENT), "optin_preferences").optin_preferences.sms


def test_refusal_taken() -> None:
    """A refusal that is named ends the consent; without a time of its own it is of now."""
    dropped = stored()
    dropped.ClearField("marketing_preferences_updated_at")
    kept = merged(stored(**CONSENT), dropped, "accepts_marketing")

    assert not kept.accepts_marketing
    assert not kept.HasField("marketing_optin_level")
    assert kept.marketing_preferences_updated_at.ToDatetime(LATER.tzinfo) == LATER.replace(
        microsecond=LATER.microsecond // 1000 * 1000
    )


def test_addresses() -> None:
    """The dropped customer's addresses follow, each content once, with their ids."""
    kept = stored(addresses=[builders.address(city="Rom"), builders.address(city="Bern")])
    both = [builders.address(city=city) for city in ("Wien", "Bern", "Wien")]
    dropped = stored(addresses=both)
    ids = [it.id for it in (*kept.addresses, dropped.addresses[0])]

    merged(kept, dropped)

    assert cities(kept) == ["Rom*", "Bern", "Wien"]
    assert [it.id for it in kept.addresses] == ids
    assert {it.customer_id for it in kept.addresses} == {kept.id}


@pytest.mark.parametrize(
    ("mine", "taken", "wanted"),
    [
        (["Rom"], [], ["Rom*", "Wien", "Prag"]),
        (["Rom"], ["defaultAddress"], ["Rom", "Wien", "Prag*"]),
        (["Prag", "Rom"], ["defaultAddress"], ["Prag*", "Rom", "Wien"]),
        ([], [], ["Wien", "Prag*"]),
    ],
)
def test_default_address(mine: list[str], taken: list[str], wanted: list[str]) -> None:
    """The default address stays; where there is none, or it is taken, it is the other's."""
    kept = stored(addresses=[builders.address(city=city) for city in mine])
    other = [builders.address(city="Wien"), builders.address(city="Prag", default_address=True)]

    assert cities(merged(kept, stored(addresses=other), *taken)) == wanted


def test_default_address_of_none() -> None:
    """A default address that the dropped customer lacks is not taken."""
    kept = stored(addresses=[builders.address(city="Rom")])

    assert cities(merged(kept, stored(), "default_address")) == ["Rom*"]


def test_same_id_of_addresses() -> None:
    """Of two addresses with one id, which a restored customer may have, one gets another id."""
    kept = stored(addresses=[builders.address(city="Rom")])
    dropped = stored(addresses=[builders.address(city="Wien")])
    dropped.addresses[0].id = kept.addresses[0].id

    merged(kept, dropped)

    assert cities(kept) == ["Rom*", "Wien"]
    assert len({it.id for it in kept.addresses} - {""}) == 2


def test_too_many_addresses() -> None:
    """Addresses of both that are more than a customer may have are a violation."""
    kept, dropped = (
        stored(addresses=[builders.address(city=f"{name} {n}") for n in range(count)])
        for name, count in (("a", 60), ("b", 41))
    )

    assert fields_of(refusals(lambda: merged(kept, dropped))) == ["addresses"]


def test_tax_exemptions() -> None:
    """Tax exemptions are united."""
    kept, dropped = stored(tax_exemptions=["a", "b"]), stored(tax_exemptions=["c", "b", "c"])

    assert merged(kept, dropped).tax_exemptions == ["a", "b", "c"]


def test_attributes() -> None:
    """Groups and attributes are united; of one that both have, the kept customer's stays."""
    kept = stored(attribute_groups={"shoe": group(size="42", width="E"), "hat": group()})
    dropped = stored(
        attribute_groups={"shoe": group("Feet", size="43", last="b"), "belt": group(size="80")}
    )
    mine = copy(kept)

    merged(kept, dropped)

    assert set(kept.attribute_groups) == {"shoe", "hat", "belt"}
    assert kept.attribute_groups["shoe"] == group("Feet", size="42", width="E", last="b")
    merged(mine, dropped, "attributeGroups")
    assert mine.attribute_groups["shoe"] == group("Feet", size="43", width="E", last="b")


def test_obsolete_group() -> None:
    """A group that the kept customer uses does not become obsolete."""
    obsolete = AttributeGroup(is_obsolete=True)
    kept = stored(attribute_groups={"used": group()})

    merged(kept, stored(attribute_groups={"used": obsolete, "old": obsolete}))

    assert not kept.attribute_groups["used"].is_obsolete
    assert kept.attribute_groups["old"].is_obsolete


def test_too_many_attributes() -> None:
    """Attributes of both that are more than a group may have are a violation."""
    kept, dropped = (
        stored(attribute_groups={"g": group(**{f"{name}{n}": "" for n in range(101)})})
        for name in "ab"
    )

    assert fields_of(refusals(lambda: merged(kept, dropped))) == ['attributeGroups["g"].attributes']


def test_too_large() -> None:
    """A merged customer that is larger than one may be is a violation."""
    kept, dropped = (
        stored(attribute_groups={name: group(**{f"a{n}": "x" * 1000 for n in range(190)})})
        for name in "ab"
    )

    assert fields_of(refusals(lambda: merged(kept, dropped))) == ["customer"]


def test_stored_values_of_former_rules() -> None:
    """A phone number or e-mail address that was stored under other rules is taken as it is."""
    dropped = stored(addresses=[builders.address()])
    dropped.mobile = "+1"
    dropped.addresses[0].email = "old"

    kept = merged(stored(), dropped)

    assert (kept.mobile, kept.addresses[0].email) == ("+1", "old")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nickname", '"nickname" is not a field of a customer'),
        ("addresses[0]", "is not a field"),
        ("*", "must name each field"),
        ("id", "id is set by the server"),
        ("created_date", "createdDate is set by the server"),
        ("mergedInto", "mergedInto is set by the server"),
        ("addresses", "addresses must not be named"),
        ("taxExemptions", "taxExemptions must not be named"),
        ("verified_email", "verified_email goes with email"),
        ("marketing_optin_level", "marketing_optin_level goes with accepts_marketing"),
        ("marketing_preferences_updated_at", "goes with accepts_marketing"),
    ],
)
def test_field_not_to_take(name: str, problem: str) -> None:
    """What cannot be chosen is refused, with what can be done instead."""
    [violation] = refusals(lambda: merging.taken_fields(FieldMask(paths=[name])))

    assert violation.field == "takenFields"
    assert problem in violation.description


def test_names_of_taken_fields() -> None:
    """Fields have either of their names; parts may be named beside what they go with."""
    names = ["firstName", "customer_state", "email", "verified_email", "last_name"]

    assert merging.taken_fields(FieldMask(paths=names)) == {
        "first_name",
        "customerState",
        "email",
        "verified_email",
        "last_name",
    }


WORD = st.sampled_from(["a", "b", "c"])
ADDRESSES = st.lists(st.builds(Address, city=WORD, company=st.none() | WORD), max_size=3)
GROUP = st.builds(
    AttributeGroup,
    description=st.none() | WORD,
    attributes=st.dictionaries(WORD, st.builds(Attribute, attribute_value=WORD), max_size=3),
)
CUSTOMER = st.fixed_dictionaries(
    {"accepts_marketing": st.booleans(), "addresses": ADDRESSES},
    optional={
        "first_name": WORD,
        "customer_ref": WORD,
        "mobile": st.sampled_from(["+491701234567", "+491701234568"]),
        "member_since": st.sampled_from(["1999-01-01", "2001-05-28"]),
        "verified_email": st.booleans(),
        "optin_preferences": st.builds(
            OptinPreferences, email=st.none() | st.booleans(), sms=st.none() | st.booleans()
        ),
        "tax_exemptions": st.lists(WORD, max_size=3),
        "attribute_groups": st.dictionaries(WORD, GROUP, max_size=2),
    },
).map(lambda fields: stored(**fields))
TAKEN = st.lists(st.sampled_from(CHOOSABLE), max_size=4, unique=True)
MERGES = given(CUSTOMER, CUSTOMER, TAKEN)


def contents(customer: Customer) -> set[Any]:
    """What the addresses say."""
    return {(it.city, it.company) for it in customer.addresses}


def consents(customer: Customer) -> set[str]:
    """The ways in which a customer consents to marketing."""
    ways = {field.name for field, value in customer.optin_preferences.ListFields() if value}
    return ways | ({"accepts_marketing"} if customer.accepts_marketing else set())


@EXAMPLES
@MERGES
def test_merged_twice(kept: Customer, dropped: Customer, taken: list[str]) -> None:
    """The same merge again changes nothing but the date of the change."""
    once = copy(merged(kept, dropped, *taken))

    again = merged(kept, dropped, *taken)

    once.last_modified_date.CopyFrom(again.last_modified_date)
    assert again == once


@EXAMPLES
@MERGES
def test_no_address_lost(kept: Customer, dropped: Customer, taken: list[str]) -> None:
    """Every address of both is one of the merged customer, and no other is."""
    wanted = contents(kept) | contents(dropped)
    mine = {it.id for it in kept.addresses}

    merged(kept, dropped, *taken)

    assert contents(kept) == wanted
    assert mine <= {it.id for it in kept.addresses}


@EXAMPLES
@MERGES
def test_no_consent_widened(kept: Customer, dropped: Customer, taken: list[str]) -> None:
    """The merged customer consents to nothing that it did not, unless that is named."""
    before = consents(kept)

    merged(kept, dropped, *taken)

    allowed = before | ({"accepts_marketing"} & {*taken})
    if "optin_preferences" in taken:
        allowed |= consents(dropped)
    assert consents(kept) <= allowed


@EXAMPLES
@MERGES
def test_merged_customer_passes(kept: Customer, dropped: Customer, taken: list[str]) -> None:
    """The merged customer follows the rules, and is settled as it is."""
    once = copy(merged(kept, dropped, *taken))

    normalize_and_validate(kept, None, ValidationContext(LATER).knowing(kept))

    assert kept == once


@EXAMPLES
@given(CUSTOMER, CUSTOMER, st.lists(st.text() | st.sampled_from(CHOOSABLE), max_size=3))
def test_any_choice(kept: Customer, dropped: Customer, taken: list[str]) -> None:
    """Whatever is named, a merge is made or refused as invalid input."""
    with suppress(InvalidInput):
        merged(kept, dropped, *taken)
