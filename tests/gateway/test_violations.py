"""How the violations of a JSON body are answered: their number, names and length."""

import json

import httpx
import pytest

from tests.gateway.errors import Error, error_of

JSON = {"content-type": "application/json"}
INVALID = "INVALID_INPUT"


def test_many_violations(http: httpx.Client) -> None:
    """Of many violations the first twenty are listed."""
    error = error_of(http.post("/customers", json={"taxExemptions": [5] * 30}))

    assert error.fields == [f"taxExemptions[{number}]" for number in range(20)]


def test_few_violations_many_times(http: httpx.Client) -> None:
    """A field that is wrong many times is listed once."""
    body = b"{" + b",".join([b'"email": 5'] * 10_000) + b"}"

    assert error_of(http.post("/customers", content=body, headers=JSON)).fields == ["email"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("K" * 64, "K" * 64),
        ("K" * 65, "K" * 64 + "…"),
        ("K" * 200_000, "K" * 64 + "…"),
        ("ü" * 64, "ü" * 64),
        ("ü" * 200_000, "ü" * 64 + "…"),
        ("\U0001d11e" * 65, "\U0001d11e" * 64 + "…"),
    ],
    ids=["64", "65", "200,000", "64 of two bytes", "200,000 of two bytes", "65 of four bytes"],
)
def test_long_names(http: httpx.Client, name: str, shown: str) -> None:
    """The answer repeats the first 64 characters of a name."""
    body = json.dumps({"attributeGroups": {name: 5}}, ensure_ascii=False)
    response = http.post("/customers", content=body, headers=JSON)

    assert error_of(response) == Error(400, 3, INVALID, [f'attributeGroups["{shown}"]'])


def test_long_paths(http: httpx.Client) -> None:
    """The answer repeats the beginning of a path of many long names."""
    names = [str(number) * 60 for number in range(9)]
    body = "".join(f'{{"{name}":' for name in names) + "x"
    error = error_of(http.post("/customers", content=body, headers=JSON))

    assert error == Error(400, 3, INVALID, [".".join(names[:8]) + "…"])


def test_amplification(http: httpx.Client) -> None:
    """However long the names of an upload's wrong members are, the answer is short."""
    groups = ",".join(f'"{number}{"K" * 200_000}": 5' for number in range(40))
    body = f'[{{"attributeGroups": {{{groups}}}}}]'
    response = http.post("/upload-customers", content=body, headers=JSON)

    assert error_of(response).status == 400
    assert len(response.content) < 16 << 10


@pytest.mark.parametrize("name", [b"\xff", b"\xff" * 100_000, b"\xc3", b"\x80" * 64 + b"a"])
def test_names_without_utf8(http: httpx.Client, name: bytes) -> None:
    """A name that is no UTF-8 is answered in the one shape, too."""
    body = b'{"attributeGroups": {"%b": 5}}' % name

    assert error_of(http.post("/customers", content=body, headers=JSON)).reason == INVALID
