"""Addresses of a new customer: their rules, and which of them is the default."""

from typing import Any

import pytest
from twc.customer.v2.customer_pb2 import Address, Customer

from tests.support import builders
from tests.support.steps import NOW, fields_of, refused, settled
from twc_customer_server.customers import addresses, emails
from twc_customer_server.customers.context import ValidationContext
from twc_customer_server.customers.customer import set_server_fields
from twc_customer_server.errors import Violation

CONTEXT = ValidationContext(NOW)

NOT_A_COUNTRY = "must be an ISO 3166-1 alpha-2 code, such as DE"
EMPTY = "must set a field that describes the address, such as address1 or city"

ROME = {"city": "Rom", "country_code": "IT"}


def _cities(*cities: str, default: int | None = None) -> list[Address]:
    """Addresses in cities, of which one may be marked as the default."""
    return [
        builders.address(city=city, **({"default_address": True} if index == default else {}))
        for index, city in enumerate(cities)
    ]


def _marks(customer: Customer) -> list[tuple[str, bool]]:
    return [(address.city, address.default_address) for address in customer.addresses]


def test_default_without_mark() -> None:
    """Without any mark the first address is the default."""
    customer = settled(builders.customer(addresses=_cities("Rom", "Bern")))

    assert _marks(customer) == [("Rom", True), ("Bern", False)]
    assert customer.default_address == customer.addresses[0]


def test_marked_address() -> None:
    """The address that is marked is the default, wherever it stands."""
    customer = settled(builders.customer(addresses=_cities("Rom", "Bern", "Wien", default=1)))

    assert _marks(customer) == [("Rom", False), ("Bern", True), ("Wien", False)]
    assert customer.default_address == customer.addresses[1]


def test_two_marked_addresses() -> None:
    """At most one address is the default; each further one is refused by its place."""
    customer = builders.customer(addresses=_cities("Rom", "Bern", "Wien", default=0))
    customer.addresses[2].default_address = True

    assert refused(customer) == [
        Violation(
            "addresses[2].defaultAddress", "must not be true, because that of addresses[0] is"
        )
    ]


def test_no_addresses() -> None:
    """A customer needs no address, and then has no default address."""
    customer = settled(builders.customer())

    assert list(customer.addresses) == []
    assert not customer.HasField("default_address")


def test_default_address_with_empty_list() -> None:
    """A default address that is the only one becomes the list."""
    customer = settled(builders.customer(default_address=builders.address(city="Rom")))

    assert _marks(customer) == [("Rom", True)]
    assert customer.default_address == customer.addresses[0]


def test_unlisted_default_address() -> None:
    """A default address that is not listed joins the list at its end."""
    customer = settled(
        builders.customer(
            addresses=_cities("Bern", "Wien"), default_address=builders.address(city="Rom")
        )
    )

    assert _marks(customer) == [("Bern", False), ("Wien", False), ("Rom", True)]


def test_default_address_beside_mark() -> None:
    """A default address named by that field takes the mark from a listed one."""
    customer = settled(
        builders.customer(
            addresses=_cities("Bern", "Wien", default=0),
            default_address=builders.address(city="Wien"),
        )
    )

    assert _marks(customer) == [("Bern", False), ("Wien", True)]
    assert customer.default_address == customer.addresses[1]


@pytest.mark.parametrize("other", ["Bern", "Rom"], ids=["new content", "another's content"])
def test_default_address_by_id(other: str) -> None:
    """A default address with the id of a listed one is that one, whatever its content."""
    listed = [builders.address(id="a", city=other), builders.address(id="b", city="Wien")]
    default = builders.address(id="b", city="Rom")
    customer = settled(builders.customer(addresses=listed, default_address=default))

    assert [mark for _, mark in _marks(customer)] == [False, True]


def test_default_address_with_ambiguous_id() -> None:
    """An id that a request uses twice tells no address from the other; the content does."""
    listed = [builders.address(id="string", city=city) for city in ("Bern", "Wien")]
    customer = settled(builders.customer(addresses=listed, default_address=listed[1]))

    assert _marks(customer) == [("Bern", False), ("Wien", True)]


@pytest.mark.parametrize(
    "default",
    [
        ROME,
        ROME | {"id": "unknown"},
        ROME | {"customer_id": "c"},
        ROME | {"default_address": False},
        ROME | {"default_address": True},
        ROME | {"country_code": " it "},
        ROME | {"company": ""},
    ],
    ids=["same", "id", "customerId", "unmarked", "marked", "lower case", "blank field"],
)
def test_default_address_by_content(default: dict[str, Any]) -> None:
    """A default address that describes a listed one as that is described is that one."""
    listed = [builders.address(city="Bern"), builders.address(**ROME, id="a")]
    customer = settled(
        builders.customer(addresses=listed, default_address=builders.address(**default))
    )

    assert _marks(customer) == [("Bern", False), ("Rom", True)]


@pytest.mark.parametrize(
    "difference",
    [{"postcode": "00100"}, {"city": "rom"}, {"country_code": "VA"}, {"phone": "1"}],
    ids=["more", "case", "country", "phone"],
)
def test_default_address_with_other_content(difference: dict[str, Any]) -> None:
    """A default address that describes more or other than the listed ones is another."""
    customer = settled(
        builders.customer(
            addresses=[builders.address(**ROME)],
            default_address=builders.address(**(ROME | difference)),
        )
    )

    assert [mark for _, mark in _marks(customer)] == [False, True]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("DE", "DE"),
        ("de", "DE"),
        ("Gb", "GB"),
        (" fr\t", "FR"),
        ("xk", "XK"),
        ("AC", "AC"),
        ("TA", "TA"),
    ],
    ids=["upper case", "lower case", "mixed case", "spaces", "Kosovo", "Ascension", "Tristan"],
)
def test_case_of_country_code(given: str, kept: str) -> None:
    """A country code is accepted in any case and stored in upper case."""
    customer = settled(builders.customer(addresses=[builders.address(country_code=given)]))

    assert customer.addresses[0].country_code == kept
    assert customer.default_address.country_code == kept


@pytest.mark.parametrize("code", ["", " "], ids=["empty", "blank"])
def test_blank_country_code(code: str) -> None:
    """A blank country code says that there is none."""
    customer = settled(builders.customer(addresses=[builders.address(country_code=code)]))

    assert not customer.addresses[0].HasField("country_code")


@pytest.mark.parametrize(
    "code", ["string", "D", "XX", "EU", "D E", "AN", "\uff24\uff25"], ids=ascii
)
def test_invalid_country_code(code: str) -> None:
    """What is no ISO 3166-1 alpha-2 code is refused, with an example of one."""
    customer = builders.customer(
        addresses=[builders.address(), builders.address(country_code=code)],
        default_address=builders.address(country_code=code, city="Rom"),
    )

    assert refused(customer) == [
        Violation("addresses[1].countryCode", NOT_A_COUNTRY),
        Violation("defaultAddress.countryCode", NOT_A_COUNTRY),
    ]


@pytest.mark.parametrize(
    ("code", "meant"),
    [
        ("UK", "GB"),
        ("uk ", "GB"),
        ("EL", "GR"),
        ("JA", "JP"),
        ("IC", "ES"),
        ("SU", "RU"),
        ("DEU", "DE"),
        ("276", "DE"),
        ("Germany", "DE"),
        ("XKX", "XK"),
        ("U.S.A.", "US"),
        ("England", "GB"),
        ("Russia", "RU"),
        ("Cote d'Ivoire", "CI"),
        ("US-CA", "US"),
        ("gb-nir", "GB"),
    ],
)
def test_other_country_code(code: str, meant: str) -> None:
    """What stands for a country elsewhere is refused with the code of that country."""
    customer = builders.customer(addresses=[builders.address(country_code=code)])
    shown = code.strip().upper()

    assert refused(customer) == [
        Violation("addresses[0].countryCode", f"{NOT_A_COUNTRY}; that of {shown} is {meant}")
    ]


@pytest.mark.parametrize(
    ("given", "kept"),
    [(" Ada@Example.com\n", "Ada@Example.com"), ('"ada l"@example.com', '"ada l"@example.com')],
)
def test_email_of_address(given: str, kept: str) -> None:
    """An address has an e-mail address without white space around it."""
    customer = settled(builders.customer(addresses=[builders.address(email=given)]))

    assert customer.addresses[0].email == kept
    assert customer.default_address.email == kept


@pytest.mark.parametrize("email", ["", " "], ids=["empty", "blank"])
def test_blank_email_of_address(email: str) -> None:
    """A blank e-mail address of an address says that there is none."""
    customer = settled(builders.customer(addresses=[builders.address(email=email)]))

    assert not customer.addresses[0].HasField("email")


def test_invalid_email_of_address() -> None:
    """What is no e-mail address is refused by its path in the list and in the default address."""
    customer = builders.customer(
        addresses=[builders.address(email="ada")],
        default_address=builders.address(email="ada..l@example.com"),
    )

    assert refused(customer) == [
        Violation("addresses[0].email", f"{emails.NOT_AN_EMAIL}; has no @"),
        Violation(
            "defaultAddress.email", f"{emails.NOT_AN_EMAIL}; has two dots in a row at position 4"
        ),
    ]


@pytest.mark.parametrize(
    "fields",
    [{}, {"customer_id": "c"}, {"default_address": True}, {"city": ""}],
    ids=["nothing", "customerId", "mark", "empty text"],
)
def test_empty_address(fields: dict[str, Any]) -> None:
    """An address has at least one field that describes it."""
    customer = builders.customer(addresses=[Address(**fields)], default_address=Address(**fields))

    assert refused(customer) == [
        Violation("addresses[0]", EMPTY),
        Violation("defaultAddress", EMPTY),
    ]


# Every text of an address, its JSON name and its greatest length.
TEXTS = [
    ("address_name", "addressName", 1024),
    ("first_name", "firstName", 1024),
    ("last_name", "lastName", 1024),
    ("company", "company", 1024),
    ("address1", "address1", 1024),
    ("address2", "address2", 1024),
    ("city", "city", 1024),
    ("province", "province", 1024),
    ("province_code", "provinceCode", 1024),
    ("postcode", "postcode", 1024),
    ("country", "country", 1024),
    ("phone", "phone", 64),
]


@pytest.mark.parametrize(("field", "json_name", "length"), TEXTS, ids=[row[0] for row in TEXTS])
def test_length_of_text(field: str, json_name: str, length: int) -> None:
    """Each text of an address is kept as given up to its greatest length."""
    longest = "\u00e9" * length
    customer = settled(builders.customer(addresses=[builders.address(**{field: longest})]))

    assert getattr(customer.addresses[0], field) == longest
    assert refused(
        builders.customer(addresses=[builders.address(**{field: longest + "\u00e9"})])
    ) == [
        Violation(
            f"addresses[0].{json_name}",
            f"must be at most {length:,} characters long, has {length + 1:,}",
        )
    ]


@pytest.mark.parametrize(("field", "json_name"), [row[:2] for row in TEXTS])
def test_control_characters(field: str, json_name: str) -> None:
    """No text of an address holds a control character, wherever the address stands."""
    address = builders.address(**{field: "a\0b"})

    assert fields_of(refused(builders.customer(addresses=[address], default_address=address))) == [
        f"addresses[0].{json_name}",
        f"defaultAddress.{json_name}",
    ]


def test_phone_of_address() -> None:
    """An address's own phone number may be any text."""
    customer = settled(builders.customer(addresses=[builders.address(phone="ask for Ada")]))

    assert customer.addresses[0].phone == "ask for Ada"


def test_100_addresses() -> None:
    """A customer may have 100 addresses, of which the default is one."""
    listed = _cities(*map(str, range(100)))
    customer = settled(
        builders.customer(addresses=listed, default_address=builders.address(city="99"))
    )

    assert len(customer.addresses) == 100
    assert customer.default_address.city == "99"


@pytest.mark.parametrize("listed", [100, 101], ids=["with the default address", "listed"])
def test_too_many_addresses(listed: int) -> None:
    """More than 100 addresses, a joining default address included, are one violation."""
    customer = builders.customer(
        addresses=_cities(*map(str, range(listed))), default_address=builders.address(city="Rom")
    )

    assert refused(customer) == [Violation("addresses", "must hold at most 100 addresses")]


def test_ids_in_request() -> None:
    """A new customer's addresses have no ids but those that storing gives."""
    given = {"id": "mine", "customer_id": "other"}
    customer = settled(builders.customer(addresses=[builders.address(**given)]))

    assert customer.addresses[0] == builders.address(default_address=True)
    assert customer.default_address == customer.addresses[0]


@pytest.mark.parametrize("field", ["id", "customer_id"])
@pytest.mark.parametrize("text", ["a\0b", "x" * 1025], ids=["NUL", "too long"])
def test_invalid_ids_in_request(field: str, text: str) -> None:
    """What is ignored of an address cannot be wrong."""
    customer = settled(builders.customer(addresses=[builders.address(**{field: text})]))

    assert not customer.addresses[0].HasField("id")
    assert not customer.addresses[0].HasField("customer_id")


def test_same_ids_in_request() -> None:
    """Two new addresses may come with one id, which is not theirs to choose."""
    listed = [builders.address(id="string", city="Rom"), builders.address(id="string", city="Bern")]

    assert _marks(settled(builders.customer(addresses=listed))) == [("Rom", True), ("Bern", False)]


def test_stamp_of_addresses() -> None:
    """Each stored address has an id of its own and its customer's; the default repeats them."""
    customer = settled(builders.customer(addresses=_cities("Rom", "Bern", default=1)))
    set_server_fields(customer, NOW)

    first, second = customer.addresses
    assert len({first.id, second.id, customer.id, ""}) == 4
    assert (first.customer_id, second.customer_id) == (customer.id, customer.id)
    assert customer.default_address == second


def test_paths_of_single_address() -> None:
    """An address that stands alone is checked with paths that begin at it."""
    assert list(addresses.check(Address(country_code="XX", email="x" * 255), CONTEXT)) == [
        Violation("email", "must be at most 254 characters long, has 255"),
        Violation("countryCode", NOT_A_COUNTRY),
        Violation("email", "must be at most 254 characters long, has 255"),
    ]
    assert list(addresses.check(Address(), CONTEXT)) == [Violation("address", EMPTY)]
