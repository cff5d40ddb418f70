"""The forms in which customers are compared."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twc.customer.v2.customer_pb2 import Customer

from tests.support.steps import ANY_TEXT, EXAMPLES
from twc_customer_server.customers import fields
from twc_customer_server.storage import rows

NAME_CASES = {
    "lower case": ("ada", "ada"),
    "upper case": ("ADA", "ada"),
    "surrounding spaces": ("  Ada\t\n", "ada"),
    "no-break spaces": ("\u00a0Ada\u00a0", "ada"),
    "inner spaces stay": ("Ada  King", "ada  king"),
    "sharp s": ("Straße", "strasse"),
    "sharp s in capitals": ("STRASSE", "strasse"),
    "capital sharp s": ("STRA\u1e9eE", "strasse"),
    "composed": ("\u00c5ngstr\u00f6m", "\u00e5ngstr\u00f6m"),
    "decomposed": ("A\u030angstro\u0308m", "\u00e5ngstr\u00f6m"),
    "compatible letter": ("\u212bngstr\u00f6m", "\u00e5ngstr\u00f6m"),
    "Kelvin sign": ("\u212aim", "kim"),
    "final sigma": ("\u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2", "σίσυφοσ"),
    "Turkish dotted capital": ("\u0130STANBUL", "istanbul"),
    "Turkish dotless letter": ("D\u0131yarbak\u0131r", "diyarbakir"),
    "Turkish capitals": ("DIYARBAKIR", "diyarbakir"),
    "Cyrillic": ("ЖЮЛЯ", "жюля"),
    "no case": ("王", "王"),
    "empty": ("", ""),
    "blank": (" ", ""),
}

EMAIL_CASES = {
    "lower case": ("ada@example.com", "ada@example.com"),
    "upper case": ("ADA@EXAMPLE.COM", "ada@example.com"),
    "plus tag stays": ("Ada+News@example.com", "ada+news@example.com"),
    "dots stay": ("a.d.a@example.com", "a.d.a@example.com"),
    "international domain": ("ada@b\u00fccher.example", "ada@xn--bcher-kva.example"),
    "its capitals": ("ada@B\u00dcCHER.example", "ada@xn--bcher-kva.example"),
    "its decomposed form": ("ada@bu\u0308cher.example", "ada@xn--bcher-kva.example"),
    "its ASCII form": ("ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example"),
    "its ASCII form in capitals": ("ADA@XN--BCHER-KVA.EXAMPLE", "ada@xn--bcher-kva.example"),
    "full-width domain": ("ada@\uff45xample.com", "ada@example.com"),
    "local part like a domain": ("xn--ada@example.com", "xn--ada@example.com"),
    "composed local part": ("J\u00dcRGEN@example.com", "j\u00fcrgen@example.com"),
    "decomposed local part": ("ju\u0308rgen@example.com", "j\u00fcrgen@example.com"),
    "sharp s in the local part": ("STRASSE@EXAMPLE.COM", "strasse@example.com"),
    "its lower case": ("stra\u00dfe@example.com", "strasse@example.com"),
    "Turkish capital": ("AL\u0130@example.com", "ali@example.com"),
    "in quotes without need": ('"Ada"@example.com', "ada@example.com"),
    "in quotes for its dots": ('"a..b"@docomo.ne.jp', "a..b@docomo.ne.jp"),
    "dots of a carrier": ("A..B@docomo.ne.jp", "a..b@docomo.ne.jp"),
    "in quotes for its at sign": ('"Ada@home"@example.com', "ada@home@example.com"),
    "in quotes with a needless backslash": (r'"a\da"@example.com', "ada@example.com"),
    "in quotes with quotes": (r'"a\"da"@example.com', 'a"da@example.com'),
    "in quotes at an international domain": (
        '"Ada"@b\u00fccher.example',
        "ada@xn--bcher-kva.example",
    ),
    "impossible ASCII form": ("ada@XN--A.example", "ada@xn--a.example"),
}


@pytest.mark.parametrize(("name", "key"), NAME_CASES.values(), ids=NAME_CASES)
def test_name_key(name: str, key: str) -> None:
    """Names that differ in case, Unicode form or surrounding space have one key."""
    assert rows.name_key(name) == key


@pytest.mark.parametrize(("email", "key"), EMAIL_CASES.values(), ids=EMAIL_CASES)
def test_email_key(email: str, key: str) -> None:
    """Spellings of one e-mail address have one key."""
    assert rows.email_key(email) == key


@EXAMPLES
@given(st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"])))
def test_stability_of_name_key(name: str) -> None:
    """A key is its own key, and every Unicode form and folding of a name has it."""
    key = rows.name_key(name)

    assert rows.name_key(key) == key
    assert rows.name_key(unicodedata.normalize("NFD", name)) == key
    assert rows.name_key(name.casefold()) == key


@EXAMPLES
@given(st.emails())
def test_email_key_of_capitals(email: str) -> None:
    """An address in capitals has the key of the address."""
    assert rows.email_key(email.upper()) == rows.email_key(email)


@pytest.mark.parametrize("given", ["", "Ref-1", " ref ", "\u00e9" * 256, "x" * 512], ids=len)
def test_exact_key_of_short_text(given: str) -> None:
    """A text that fits into an index is compared as it is."""
    assert rows.exact_key(given) == given


LONG_TEXTS = ["x" * 513, "x" * 514, "X" * 513, "\u00e9" * 257, "\U0001f600" * 1024]


def test_exact_keys_of_long_texts() -> None:
    """Longer texts have keys of a bounded length, each its own."""
    found = [rows.exact_key(long) for long in LONG_TEXTS]

    assert len(set(found)) == len(LONG_TEXTS)
    assert {len(key.encode()) for key in found} == {65}


@pytest.mark.parametrize("long", LONG_TEXTS, ids=ascii)
def test_exact_key_outside_valid_texts(long: str) -> None:
    """The key of a longer text is none that a valid text could have."""
    assert fields.text_problem(rows.exact_key(long)) is not None


@EXAMPLES
@given(
    st.builds(
        Customer,
        **dict.fromkeys(
            ("email", "mobile", "phone", "customer_ref", "alternate_customer_ref"),
            st.sampled_from(["\0", "\2x", "x" * 513, "\u00e9" * 5000 + "@b.example"]) | ANY_TEXT,
        ),
    )
)
def test_keys_of_any_customer(customer: Customer) -> None:
    """The unique keys of a customer fit into an index of every database, however invalid it is."""
    keys = [key for key in rows.unique_keys(customer).values() if key]
    assert max(len(key.encode()) for key in keys) <= rows.MAX_KEY_BYTES
    assert "\0" not in "".join(keys)
