"""What an update makes of a stored customer."""

from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from twc.customer.v2.customer_pb2 import Address, Attribute, Customer

from tests.support import builders
from tests.support.steps import LATER, NOW, copy, fields_of, refusals, stored, timestamp
from twc_customer_server.customers import emails, phones, update
from twc_customer_server.customers.context import ValidationContext
from twc_customer_server.customers.customer import set_server_fields
from twc_customer_server.errors import Violation


def _update(customer: Customer, *mask: str, region: str | None = None, **fields: Any) -> Customer:
    """The customer after an update with the given fields, which leaves the date of storing."""
    return _put(customer, Customer(**fields), *mask, region=region)


def _put(customer: Customer, request: Customer, *mask: str, region: str | None = None) -> Customer:
    update.update(customer, request, FieldMask(paths=mask), ValidationContext(LATER, region))
    stored_at = copy(customer).last_modified_date
    set_server_fields(customer, NOW)
    customer.last_modified_date.CopyFrom(stored_at)
    return customer


def _full() -> Customer:
    customer = stored(
        customer_ref="R-1",
        email="ada@example.com",
        first_name="Ada",
        last_name="King",
        mobile="+491701234567",
        phone="+4930901820",
        dob="1815-12-10",
        active=False,
        accepts_marketing=True,
        customerState=Customer.enabled,
        marketing_optin_level=Customer.single_opt_in,
        tax_exempt=True,
        tax_exemptions=["CA_GST_EXEMPTION"],
        verified_email=True,
        addresses=[Address(city="Rom"), Address(city="Bern")],
    )
    customer.attribute_groups["g"].attributes["a"].attribute_value = "1"
    return customer


# A new value for each field that a request can change but for addresses and marketing.
VALUES: dict[str, Any] = {
    "customer_ref": "R-2",
    "email": "eve@example.com",
    "first_name": "Eve",
    "last_name": "Queen",
    "mobile": "+41446681800",
    "phone": "+33123456789",
    "dob": "2001-05-28T00:00:00Z",
    "active": True,
    "customerState": Customer.declined,
    "tax_exempt": False,
    "tax_exemptions": ["CA_BC_PST_EXEMPTION", "CA_QC_QST_EXEMPTION"],
    "verified_email": True,
}

# What is left of a field that is cleared.
CLEARED: dict[str, Any] = {
    "customer_ref": None,
    "first_name": None,
    "last_name": None,
    "mobile": None,
    "phone": None,
    "dob": None,
    "active": True,
    "customerState": Customer.disabled,
    "tax_exempt": False,
    "tax_exemptions": None,
    "verified_email": False,
    "attribute_groups": None,
    "marketing_preferences_updated_at": None,
}

# Every spelling of every field that a mask may name.
SPELLINGS = {
    "customer_ref": ["customer_ref", "customerRef"],
    "email": ["email"],
    "first_name": ["first_name", "firstName"],
    "last_name": ["last_name", "lastName"],
    "mobile": ["mobile"],
    "phone": ["phone"],
    "dob": ["dob"],
    "active": ["active"],
    "customerState": ["customerState", "customer_state"],
    "tax_exempt": ["tax_exempt", "taxExempt"],
    "tax_exemptions": ["tax_exemptions", "taxExemptions"],
    "verified_email": ["verified_email"],
}
# Those of fields that do not stand alone.
OTHER_SPELLINGS = [
    "accepts_marketing",
    "marketing_optin_level",
    "marketing_preferences_updated_at",
    "addresses",
    "default_address",
    "defaultAddress",
    "attribute_groups",
    "attributeGroups",
    "id",
    "created_date",
    "createdDate",
    "last_modified_date",
    "lastModifiedDate",
]


def _with(customer: Customer, field: str, value: Any) -> Customer:
    """A copy of a customer in which one field is another, or not set."""
    changed = copy(customer)
    changed.ClearField(field)
    changed.MergeFrom(Customer(**{field: value}))
    return changed


@pytest.mark.parametrize(("field", "value"), VALUES.items(), ids=VALUES)
def test_given_field(field: str, value: Any) -> None:
    """A field that is given replaces what is stored, and leaves all else."""
    before = _full()
    before.verified_email = False

    assert _update(copy(before), **{field: value}) == _with(before, field, value)


def test_no_fields() -> None:
    """Fields that are absent stay."""
    before = _full()

    assert _update(copy(before)) == before


def test_empty_text() -> None:
    """A text that is set to nothing is not one that is not set."""
    customer = _update(_full(), first_name="")

    assert customer.HasField("first_name")
    assert customer.first_name == ""


@pytest.mark.parametrize("field", ["customer_ref", "mobile", "phone", "dob"])
def test_blank_values(field: str) -> None:
    """A blank reference, number or date of birth takes away the stored one."""
    before = _full()

    assert _update(copy(before), **{field: " "}) == _with(before, field, None)


def test_given_attribute_groups() -> None:
    """Attribute groups that are given take the place of all stored ones."""
    request = Customer()
    request.attribute_groups["h"].attributes["b"].CopyFrom(Attribute(attribute_value="2"))

    assert _put(_full(), copy(request)).attribute_groups == request.attribute_groups


def test_fields_outside_the_mask() -> None:
    """Of the given fields only those that the mask names are taken."""
    before = _full()

    assert _update(copy(before), "first_name", **VALUES) == _with(before, "first_name", "Eve")


@pytest.mark.parametrize(("field", "left"), CLEARED.items(), ids=CLEARED)
def test_masked_field_without_value(field: str, left: Any) -> None:
    """A field that the mask names and the request lacks is cleared, or has its default again."""
    before = _full()

    assert _update(copy(before), field) == _with(before, field, left)


@pytest.mark.parametrize(
    ("given", "verified"),
    [
        ({"email": "eve@example.com"}, False),
        ({"email": "eve@example.com", "verified_email": True}, True),
        ({"email": " ADA@example.com"}, True),
        ({"first_name": "Eve"}, True),
    ],
    ids=["new", "new and verified", "other case", "not given"],
)
def test_verification_of_email(given: dict[str, Any], verified: bool) -> None:  # noqa: FBT001
    """A new e-mail address is not verified unless the same request says so."""
    assert _update(_full(), **given).verified_email is verified
    assert _update(_full(), *given, **given).verified_email is verified


# Values that were stored before a rule refused them.
OLD_VALUES = {
    "phone": "+56026354444",
    "mobile": "+10000000000",
    "email": "a..b@docomo.ne.jp",
}


@pytest.mark.parametrize(("field", "value"), OLD_VALUES.items(), ids=OLD_VALUES)
def test_old_value(field: str, value: str) -> None:
    """A value that is stored stays valid, also where an update repeats it, until it is changed."""
    before = _with(_full(), field, value)

    assert _update(copy(before), first_name="Eve") == _with(before, "first_name", "Eve")
    assert _put(copy(before), copy(before)) == before
    assert fields_of(refusals(lambda: _update(copy(before), **{field: "0" + value}))) == [field]


@pytest.mark.parametrize("email", ["string", " ada@example"])
def test_old_email_of_address(email: str) -> None:
    """An address whose e-mail address was stored before it had to be one stays as it is."""
    before = _full()
    before.addresses[1].email = email

    assert _update(copy(before), first_name="Eve") == _with(before, "first_name", "Eve")
    assert _put(copy(before), copy(before)) == before
    changed = copy(before)
    update.add_address(changed, Address(city="Wien"), ValidationContext(NOW))
    assert [address.email for address in changed.addresses] == ["", email, ""]
    changed.addresses[2].email = f"{email}."
    assert fields_of(refusals(lambda: _put(copy(before), changed))) == ["addresses[2].email"]


def test_cleared_email() -> None:
    """An update cannot take away what is required."""
    assert fields_of(refusals(lambda: _update(_full(), "email"))) == ["email"]


def test_cleared_addresses() -> None:
    """Without addresses there is no default address either."""
    customer = _update(_full(), "addresses")

    assert list(customer.addresses) == []
    assert not customer.HasField("default_address")


@pytest.mark.parametrize(
    ("field", "spelling"),
    [(field, spelling) for field, spellings in SPELLINGS.items() for spelling in spellings],
)
def test_spellings_in_mask(field: str, spelling: str) -> None:
    """A mask may spell a field as Protobuf or as JSON does."""
    before = _full()
    before.verified_email = False
    value = VALUES[field]

    assert _update(copy(before), spelling, **{field: value}) == _with(before, field, value)


@pytest.mark.parametrize("spelling", OTHER_SPELLINGS)
def test_every_field_in_mask(spelling: str) -> None:
    """A mask may name any field, in the spelling of Protobuf or of JSON."""
    before = _full()

    assert _update(copy(before), spelling, **VALUES).first_name == "Ada"


def test_star_as_mask() -> None:
    """The mask `*` names all fields: what is not given is cleared."""
    before = _full()
    customer = _update(copy(before), "*", email="eve@example.com")

    assert customer == Customer(
        id=before.id,
        email="eve@example.com",
        active=True,
        accepts_marketing=False,
        customerState=Customer.disabled,
        marketing_preferences_updated_at=timestamp("2026-03-05T05:06:07.891Z"),
        tax_exempt=False,
        verified_email=False,
        created_date=before.created_date,
        last_modified_date=before.last_modified_date,
    )


def test_unknown_names_in_mask() -> None:
    """A mask names fields of a customer, and whole ones; every other name is refused."""
    unknown = ["nickname", "addresses.city", "addresses[0]", "FIRST_NAME", "first name", ""]

    assert refusals(lambda: _update(_full(), "first_name", *unknown)) == [
        Violation(
            "updateMask",
            f'"{name}" is not a field of a customer; name whole fields, such as firstName',
        )
        for name in unknown
    ]


@pytest.mark.parametrize("mask", [[], ["id", "created_date", "lastModifiedDate"], ["*"]])
def test_server_fields(mask: list[str]) -> None:
    """The id and the dates of a request never replace the stored ones."""
    before = _full()
    moment = timestamp("2001-05-28T00:00:00Z")
    request = copy(before)
    request.MergeFrom(Customer(id="other", created_date=moment, last_modified_date=moment))

    assert _put(copy(before), request, *mask) == before


@pytest.mark.parametrize("text", ["a\0b", "x" * 1025], ids=["NUL", "too long"])
def test_invalid_ids_in_request(text: str) -> None:
    """What is ignored cannot be wrong."""
    customer = _update(_full(), addresses=[builders.address(id=text, customer_id=text)])

    [address] = customer.addresses
    assert (address.id != text, address.customer_id) == (True, customer.id)


def test_phone_with_stored_default_address() -> None:
    """A national number is read in the default address's country before the tenant's region."""
    customer = stored(addresses=[Address(country_code="CH")])

    assert _update(customer, phone="044 668 18 00", region="DE").phone == "+41446681800"


def test_phone_with_new_default_address() -> None:
    """A default address that comes with a national number is where it is read."""
    customer = stored(addresses=[Address(country_code="CH")])
    france = Address(country_code="FR")

    assert _update(customer, phone="01 23 45 67 89", default_address=france).phone == "+33123456789"


def test_stored_phone_with_new_country() -> None:
    """A stored number has its country already, and does not move with an address."""
    customer = stored(addresses=[Address(country_code="DE")], phone="030 901820")

    assert _update(customer, addresses=[Address(country_code="FR")]).phone == "+4930901820"


def test_all_violations_at_once() -> None:
    """Every field that breaks a rule is named, the merged customer's own included."""
    violations = refusals(
        lambda: _update(
            stored(),
            "email",
            "dob",
            "phone",
            "customer_state",
            "tax_exemptions",
            dob="2999-01-01",
            phone="030 901820",
            customerState=99,
            tax_exemptions=[""],
        )
    )

    assert violations == [
        Violation("email", f"is required, and {emails.NOT_AN_EMAIL}"),
        Violation("dob", "must not be in the future"),
        Violation("customer_state", "must be disabled, invited, enabled or declined"),
        Violation("taxExemptions[0]", "must not be empty"),
        Violation("phone", phones.NO_COUNTRY),
    ]


@pytest.mark.parametrize(
    ("field", "text", "problem"),
    [
        ("mobile", "ada@example.com", phones.NOT_A_PHONE),
        ("phone", "ada@example.com", phones.NOT_A_PHONE),
        ("email", "+491701234567", emails.NOT_AN_EMAIL),
    ],
)
def test_stored_text_of_another_kind(field: str, text: str, problem: str) -> None:
    """A text that is stored is not valid where one of another kind is meant."""
    customer = stored(email="ada@example.com", mobile="+49 170 1234567")
    change = Customer()
    setattr(change, field, text)
    context = ValidationContext(LATER, "DE")
    found = refusals(lambda: update.update(customer, change, FieldMask(), context))
    assert fields_of(found) == [field]
    assert found[0].description.startswith(problem)
