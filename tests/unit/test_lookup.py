"""What a lookup asks for, and how its pages go on."""

import base64
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twc.customer.v2.customer_service_pb2 import LookupCustomersRequest

from tests.support.steps import ANY_TEXT, EXAMPLES, fields_of, refusals
from twc_customer_server.api import lookup
from twc_customer_server.api.lookup import Lookup
from twc_customer_server.customers import emails, phones
from twc_customer_server.errors import Violation

TENANT = "acme"
ID = "01938f6e-0000-7000-8000-0000000000ff"
WANTED = {"last_name": "king"}
TOKEN = lookup.page_token(TENANT, WANTED, ID)

NOT_A_TOKEN = "must be the x-next-page-token of an earlier page"  # noqa: S105 - a message
ANOTHER_LOOKUP = "belongs to another lookup; repeat the parameters of that one"

PARAMETERS = {
    "email": ({"email": "Ada@Example.com"}, {"email": "ada@example.com"}),
    "email with spaces around": ({"email": " ada@example.com "}, {"email": "ada@example.com"}),
    "email whose plus is a space": (
        {"email": "ada news@example.com"},
        {"email": "ada+news@example.com"},
    ),
    "email in quotes": (
        {"email": '"Ada + News"@example.com'},
        {"email": "ada + news@example.com"},
    ),
    "email with dots": ({"email": "a..b@docomo.ne.jp"}, {"email": "a..b@docomo.ne.jp"}),
    "email at an international domain": (
        {"email": "ada@b\u00fccher.example"},
        {"email": "ada@xn--bcher-kva.example"},
    ),
    "first name": ({"first_name": " ADA "}, {"first_name": "ada"}),
    "last name": ({"last_name": "STRASSE"}, {"last_name": "strasse"}),
    "mobile": ({"mobile": "+49 170 1234567"}, {"mobile": "+491701234567"}),
    "mobile whose plus is a space": ({"mobile": " 49 170 1234567"}, {"mobile": "+491701234567"}),
    "mobile of the region": ({"mobile": "0170 1234567"}, {"mobile": "+491701234567"}),
    "phone": ({"phone": "+49 30 901820"}, {"phone": "+4930901820"}),
    "phone whose plus is a space": ({"phone": " 4930901820"}, {"phone": "+4930901820"}),
    "mobile with a former prefix": ({"mobile": "+5215512345678"}, {"mobile": "+525512345678"}),
    "mobile that was stored before a rule": (
        {"mobile": "+56026354444"},
        {"mobile": "+56026354444"},
    ),
    "phone of the region": ({"phone": "030 901820"}, {"phone": "+4930901820"}),
    "several": (
        {"email": "ada@example.com", "first_name": "Ada", "phone": "030 901820"},
        {"email": "ada@example.com", "first_name": "ada", "phone": "+4930901820"},
    ),
}

BLANK = "must not be empty; leave it out to match any"
CONTROL = "must not hold control characters other than tab and line breaks"
LONG = "must be at most 1,024 characters long, has 1,025"

WRONG = {
    "nothing": ({}, "email", "is required, or firstName, lastName, mobile or phone"),
    "only a page size": (
        {"page_size": 5},
        "email",
        "is required, or firstName, lastName, mobile or phone",
    ),
    "empty email": ({"email": ""}, "email", BLANK),
    "blank first name": ({"first_name": " \t"}, "firstName", BLANK),
    "empty last name": ({"last_name": ""}, "lastName", BLANK),
    "blank mobile": ({"mobile": " "}, "mobile", BLANK),
    "empty phone": ({"phone": ""}, "phone", BLANK),
    "no email": ({"email": "string"}, "email", f"{emails.NOT_AN_EMAIL}; has no @"),
    "no phone": ({"phone": "string"}, "phone", phones.NOT_A_PHONE),
    "unclear phone": (
        {"phone": "491716783154"},
        "phone",
        phones.AMBIGUOUS.format("+491716783154 or +49491716783154"),
    ),
    "extension": ({"mobile": "030 901820 x5"}, "mobile", phones.HAS_EXTENSION),
    "NUL": ({"first_name": "a\0b"}, "firstName", CONTROL),
    "control character": ({"phone": "030\x1b901820"}, "phone", CONTROL),
    "too long": ({"last_name": "x" * 1025}, "lastName", LONG),
    "negative size": (
        {"last_name": "King", "page_size": -1},
        "pageSize",
        "must be from 1 to 1,000",
    ),
}

BAD_TOKENS = {
    "garbage": "garbage",
    "no base64": "!!!!",
    "not ASCII": "\u00fc\u00f1\u00ed",
    "only a digest": base64.urlsafe_b64encode(bytes(16)).decode(),
    "no UUID": base64.urlsafe_b64encode(bytes(16) + b"customer-1").decode(),
    "not UTF-8": base64.urlsafe_b64encode(bytes(16) + b"\xff" * 36).decode(),
    "NUL": "\0",
    "long": "A" * 100_000,
}


def _read(region: str | None = "DE", tenant: str = TENANT, **fields: Any) -> Lookup:
    return lookup.parse(LookupCustomersRequest(**fields), tenant, region)


@pytest.mark.parametrize(("fields", "wanted"), PARAMETERS.values(), ids=PARAMETERS)
def test_read_parameters(fields: dict[str, str], wanted: dict[str, str]) -> None:
    """Each given parameter is read in the form in which customers are compared."""
    assert _read(**fields) == Lookup(wanted, 100, "")


@pytest.mark.parametrize(("fields", "field", "wrong"), WRONG.values(), ids=WRONG)
def test_read_invalid_parameter(fields: dict[str, Any], field: str, wrong: str) -> None:
    """A parameter that cannot be read is refused by its JSON name."""
    assert refusals(lambda: _read(**fields)) == [Violation(field, wrong)]


@pytest.mark.parametrize("field", ["mobile", "phone"])
def test_read_national_number_without_region(field: str) -> None:
    """Without a region a number without an international prefix cannot be read."""
    assert refusals(lambda: _read(region=None, **{field: "030 901820"})) == [
        Violation(field, phones.NO_COUNTRY)
    ]


def test_read_several_invalid_parameters() -> None:
    """Everything that is wrong with a lookup is said at once."""
    violations = refusals(
        lambda: _read(
            email="string",
            first_name="",
            last_name="King",
            mobile="string",
            phone="\0",
            page_size=-5,
            page_token="garbage",  # noqa: S106 - no secret
        )
    )

    assert fields_of(violations) == [
        "email",
        "firstName",
        "mobile",
        "phone",
        "pageSize",
        "pageToken",
    ]


@pytest.mark.parametrize(
    ("given", "size"),
    [(0, 100), (1, 1), (999, 999), (1000, 1000), (1001, 1000), (2**31 - 1, 1000)],
)
def test_page_size(given: int, size: int) -> None:
    """A page has 100 customers unless another size is given, and at most 1,000."""
    assert _read(last_name="King", page_size=given).size == size


@EXAMPLES
@given(ANY_TEXT, ANY_TEXT, ANY_TEXT)
def test_read_any_text(email: str, name: str, phone: str) -> None:
    """Whatever the texts, nothing but the parameters is found wrong."""
    fields: dict[str, Any] = {"email": email, "last_name": name, "phone": phone, "page_size": -1}

    violations = refusals(lambda: _read(**fields))

    assert set(fields_of(violations)) <= {"email", "lastName", "phone", "pageSize"}


def test_page_token() -> None:
    """A token leads to what comes after the last customer of its page."""
    assert _read(last_name="King", page_token=TOKEN) == Lookup(WANTED, 100, ID)


def test_page_token_with_other_spelling() -> None:
    """A token is bound to what is compared, and not to the size of the page."""
    assert _read(last_name=" KING ", page_size=7, page_token=TOKEN) == Lookup(WANTED, 7, ID)


def test_empty_page_token() -> None:
    """An empty token is none."""
    assert _read(last_name="King", page_token="").after == ""


@pytest.mark.parametrize(
    "fields",
    [
        {"last_name": "Queen"},
        {"first_name": "King"},
        {"last_name": "King", "first_name": "Ada"},
        {"last_name": "King", "tenant": "other"},
    ],
    ids=["another value", "another parameter", "a further parameter", "another tenant"],
)
def test_page_token_of_another_lookup(fields: dict[str, str]) -> None:
    """A token is good only for its tenant and its parameters."""
    assert refusals(lambda: _read(**fields, page_token=TOKEN)) == [
        Violation("pageToken", ANOTHER_LOOKUP)
    ]


@pytest.mark.parametrize("token", BAD_TOKENS.values(), ids=BAD_TOKENS)
def test_invalid_page_token(token: str) -> None:
    """What no page gave is refused as a token."""
    assert refusals(lambda: _read(last_name="King", page_token=token)) == [
        Violation("pageToken", NOT_A_TOKEN)
    ]


def test_truncated_page_token() -> None:
    """A token that lost its end, however little of it, is none."""

    def refusal(length: int) -> list[Violation]:
        return refusals(lambda: _read(last_name="King", page_token=TOKEN[:length]))

    assert [refusal(length) for length in range(1, len(TOKEN))] == [
        [Violation("pageToken", NOT_A_TOKEN)]
    ] * (len(TOKEN) - 1)


@EXAMPLES
@given(
    ANY_TEXT.filter(bool)
    | st.binary(min_size=1).map(lambda raw: base64.urlsafe_b64encode(raw).decode())
    | st.text("0123456789abcdef-", min_size=32, max_size=36).map(
        lambda uuid: base64.urlsafe_b64encode(bytes(16) + uuid.encode()).decode()
    )
)
def test_made_up_page_token(token: str) -> None:
    """Whatever is made up in place of a token is refused, and never fails otherwise."""
    assert fields_of(refusals(lambda: _read(last_name="King", page_token=token))) == ["pageToken"]


def test_page_headers() -> None:
    """A page that another follows carries its token, and its link with the query as it was."""
    request = LookupCustomersRequest(
        email="ada+news@example.com",
        first_name="J\u00fcrgen & Co",
        mobile=" 49170",
        page_size=2,
        page_token="old",  # noqa: S106 - no secret
    )

    link = (
        "<?email=ada%2Bnews%40example.com"
        '&firstName=J%C3%BCrgen+%26+Co&mobile=+49170&pageSize=2&pageToken=new%3D>; rel="next"'
    )
    assert lookup.page_headers(request, "new=") == [("x-next-page-token", "new="), ("link", link)]


@EXAMPLES
@given(ANY_TEXT.filter(bool), st.integers(1, 1000))
def test_link_of_next_page(name: str, size: int) -> None:
    """The link is plain ASCII, and following it repeats the request with the new token."""
    request = LookupCustomersRequest(last_name=name, page_size=size)

    _, (_, link) = lookup.page_headers(request, TOKEN)

    assert link.isascii()
    assert parse_qsl(urlsplit(link[1 : link.index(">")]).query) == [
        ("lastName", name),
        ("pageSize", str(size)),
        ("pageToken", TOKEN),
    ]


def test_link_of_long_query() -> None:
    """A link that headers could not carry is left out; the token is there all the same."""
    request = LookupCustomersRequest(first_name="\u00fc" * 1024)

    assert lookup.page_headers(request, TOKEN) == [("x-next-page-token", TOKEN)]
