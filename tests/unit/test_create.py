"""What a create request's customer becomes, and what it is refused for."""

from typing import Any

import pytest
from twc.customer.v2.customer_pb2 import Address, Customer

from tests.support import builders
from tests.support.steps import NOW, fields_of, refused, settled, timestamp
from twc_customer_server.customers import fields, phones
from twc_customer_server.customers.context import ValidationContext
from twc_customer_server.customers.customer import prepare_new
from twc_customer_server.errors import Violation

NO_EMAIL = "is required, and must be an e-mail address, such as ada@example.com"


def test_defaults() -> None:
    """A customer with an e-mail address alone gets the documented defaults and nothing else."""
    assert settled(Customer(email="ada@example.com")) == Customer(
        email="ada@example.com",
        active=True,
        customerState=Customer.disabled,
        accepts_marketing=False,
        tax_exempt=False,
        verified_email=False,
    )


def test_given_values() -> None:
    """What a request says is stored as it is said."""
    given: dict[str, Any] = {
        "customer_ref": " R 1 ",
        "email": "Ada@Example.com",
        "first_name": " Ada\t",
        "last_name": "",
        "dob": "1815-12-10T12:00:00.5+01:00",
        "active": False,
        "customerState": Customer.declined,
        "tax_exempt": True,
        "tax_exemptions": ["CA_GST_EXEMPTION", "CA_BC_PST_EXEMPTION"],
        "verified_email": True,
    }

    assert settled(Customer(**given)) == Customer(**given, accepts_marketing=False)


def test_unspecified_state() -> None:
    """A state that is given as unspecified is stored as disabled."""
    given = builders.customer(customerState=Customer.state_unspecified)

    assert settled(given).customerState == Customer.disabled


@pytest.mark.parametrize("blank", ["", " ", "\t\r\n", "\u00a0"], ids=ascii)
@pytest.mark.parametrize("field", ["customer_ref", "mobile", "phone", "dob"])
def test_blank_values(field: str, blank: str) -> None:
    """A blank reference, number or date of birth says that there is none."""
    assert not settled(builders.customer(**{field: blank})).HasField(field)


@pytest.mark.parametrize(
    "customer",
    [Customer(), Customer(email=""), Customer(email=" \t")],
    ids=["not set", "empty", "blank"],
)
def test_missing_email(customer: Customer) -> None:
    """A customer without an e-mail address is refused."""
    assert refused(customer) == [Violation("email", NO_EMAIL)]


def test_email_in_white_space() -> None:
    """An e-mail address is stored as given, without the white space around it."""
    assert settled(Customer(email=" \tAda@Example.com\r\n")).email == "Ada@Example.com"


def test_email_with_dots() -> None:
    """Dots in a row are accepted in all e-mail addresses if the setting is on, else in none."""
    customer = builders.customer(
        email="a..b@docomo.ne.jp", addresses=[builders.address(email="ab.@ezweb.ne.jp")]
    )

    assert fields_of(refused(customer)) == ["addresses[0].email", "email"]
    prepare_new(customer, ValidationContext(NOW, accept_email_dots=True))


@pytest.mark.parametrize("field", ["dob", "member_since"])
def test_form_of_past_date(field: str) -> None:
    """A date of the past is stored in its normal form."""
    assert getattr(settled(builders.customer(**{field: " 28-05-2001 "})), field) == "2001-05-28"


def test_invalid_email() -> None:
    """What is no e-mail address is refused with an example of one, and what is wrong with it."""
    assert refused(Customer(email="string")) == [
        Violation("email", "must be an e-mail address, such as ada@example.com; has no @")
    ]


def test_too_long_email() -> None:
    """An e-mail address of more than 254 characters is refused, and for that alone."""
    labels = ".".join("x" * 61 for _ in range(4))

    assert refused(Customer(email=f"ada@{labels}.com")) == [
        Violation("email", "must be at most 254 characters long, has 255")
    ]


def test_text_with_two_faults() -> None:
    """A field is named once, however many rules it breaks."""
    assert fields_of(refused(builders.customer(mobile="\0" * 1025, dob="\0"))) == ["mobile", "dob"]


def test_server_fields() -> None:
    """The id and the dates of a request are not the new customer's."""
    moment = timestamp("2001-05-28T00:00:00Z")
    given = {"id": "mine", "created_date": moment, "last_modified_date": moment}

    customer = settled(builders.customer(**given))

    assert [field for field in given if customer.HasField(field)] == []


@pytest.mark.parametrize("text", ["a\0b", "x" * 1025], ids=["NUL", "too long"])
def test_invalid_id_in_request(text: str) -> None:
    """What is ignored cannot be wrong."""
    assert not settled(builders.customer(id=text)).HasField("id")


@pytest.mark.parametrize("field", ["mobile", "phone"])
@pytest.mark.parametrize(
    ("places", "region", "expected"),
    [
        ({}, "DE", "+49446681800"),
        ({"addresses": [Address(country_code="CH")]}, "DE", "+41446681800"),
        ({"addresses": [Address(country_code="ch")]}, None, "+41446681800"),
        ({"addresses": [Address(city="Bern"), Address(country_code="CH")]}, "DE", "+49446681800"),
        (
            {"addresses": [Address(city="Bern"), Address(country_code="CH", default_address=True)]},
            "DE",
            "+41446681800",
        ),
        (
            {
                "addresses": [Address(country_code="DE")],
                "default_address": Address(country_code="CH"),
            },
            None,
            "+41446681800",
        ),
    ],
    ids=[
        "tenant's region",
        "first address",
        "lower case",
        "default has no country",
        "marked address",
        "defaultAddress",
    ],
)
def test_national_number(
    field: str, places: dict[str, Any], region: str | None, expected: str
) -> None:
    """A national number is read in the default address's country, else in the tenant's region."""
    customer = settled(builders.customer(**places, **{field: "044 668 18 00"}), region)

    assert getattr(customer, field) == expected


def test_national_number_without_country() -> None:
    """A national number that no country is known for is refused."""
    assert refused(builders.customer(mobile="030 901820", phone="030 901820")) == [
        Violation("mobile", phones.NO_COUNTRY),
        Violation("phone", phones.NO_COUNTRY),
    ]


@pytest.mark.parametrize(
    ("dob", "wrong"),
    [
        ("2026-03-05", "must not be in the future"),
        ("string", fields.NOT_A_PAST_DATE),
    ],
    ids=["future", "placeholder"],
)
def test_invalid_dob(dob: str, wrong: str) -> None:
    """A date of birth is a date, and not in the future."""
    assert refused(builders.customer(dob=dob)) == [Violation("dob", wrong)]


STATES = "must be disabled, invited, enabled or declined"
LEVELS = "must be single_opt_in, confirmed_opt_in or unknown"


@pytest.mark.parametrize("number", [5, 99, -1])
def test_undefined_state(number: int) -> None:
    """A state that the contract does not define is refused with those that it does."""
    assert refused(builders.customer(customerState=number)) == [
        Violation("customer_state", STATES),
    ]


@pytest.mark.parametrize("number", [4, 99, -1])
@pytest.mark.parametrize("accepted", [True, False], ids=["accepted", "declined"])
def test_undefined_opt_in_level(number: int, *, accepted: bool) -> None:
    """An opt-in level that the contract does not define is refused, whatever goes with it."""
    customer = builders.customer(accepts_marketing=accepted, marketing_optin_level=number)

    assert refused(customer) == [Violation("marketing_optin_level", LEVELS)]


def test_impossible_date_of_preferences() -> None:
    """A timestamp that JSON could not write is refused."""
    customer = builders.customer(marketing_preferences_updated_at={"seconds": 2**62})

    assert refused(customer) == [
        Violation("marketing_preferences_updated_at", "must be a time between the years 1 and 9999")
    ]


def test_all_violations_at_once() -> None:
    """Every field that breaks a rule is named by its JSON path in one answer."""
    customer = Customer(
        email="string",
        first_name="a\0b",
        mobile="string",
        phone="string",
        dob="string",
        customerState=99,  # type: ignore[arg-type]
        tax_exemptions=[""],
        addresses=[Address(), Address(country_code="string")],
        default_address=Address(city="x" * 1025),
    )
    customer.attribute_groups["g"].attributes["a"].value_type = 99  # type: ignore[assignment]

    assert sorted(fields_of(refused(customer))) == [
        "addresses[0]",
        "addresses[1].countryCode",
        'attributeGroups["g"].attributes["a"].value_type',
        "customer_state",
        "defaultAddress.city",
        "dob",
        "email",
        "firstName",
        "mobile",
        "phone",
        "taxExemptions[0]",
    ]
