"""The scopes of a token, in whichever claim and form the issuer has them."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.steps import EXAMPLES
from twc_customer_server.auth.scopes import claim_with, scopes_in

ROLES = {"realm_access": {"roles": ["erase", "offline_access"]}}
# So few that paths often lead to something.
NAME = st.sampled_from(["a", "b", "a.b"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda it: st.lists(it) | st.dictionaries(NAME, it),
    max_leaves=8,
)
PATH = st.from_regex(re.compile(r"[a-z_]{1,9}(\.[a-z_]{1,9}){0,3}"), fullmatch=True)


@pytest.mark.parametrize(
    ("claims", "path", "scopes"),
    [
        ({"scope": "read  erase"}, "scope", {"read", "erase"}),
        ({"scope": ""}, "scope", set()),
        ({"scp": ["read", "erase"]}, "scp", {"read", "erase"}),
        ({"scp": "erase"}, "scope", set()),
        ({"roles": ["a b"]}, "roles", {"a b"}),
        (ROLES, "realm_access.roles", {"erase", "offline_access"}),
        (ROLES, "realm_access.groups", set()),
        (ROLES, "realm_access", set()),
        (ROLES, "realm_access.roles.erase", set()),
        ({"https://shop.example/roles": ["erase"]}, "https://shop.example/roles", {"erase"}),
        ({"a.b": "erase", "a": {"b": "other"}}, "a.b", {"erase"}),
        ({"scope": ["erase", 1, None, ["read"]]}, "scope", {"erase"}),
        ({"scope": {"erase": True}}, "scope", set()),
        ({"scope": 1}, "scope", set()),
        ({}, "scope", set()),
    ],
)
def test_scopes(claims: dict[str, Any], path: str, scopes: set[str]) -> None:
    """Scopes are a text or a list, of a claim or within objects; all else has none."""
    assert scopes_in(claims, path) == scopes


@EXAMPLES
@given(st.dictionaries(NAME, JSON, min_size=1), NAME | st.text())
def test_scopes_of_any_claims(claims: dict[str, Any], path: str) -> None:
    """Whatever claims a token has, its scopes are texts."""
    assert all(isinstance(scope, str) for scope in scopes_in(claims, path))


@EXAMPLES
@given(PATH, st.from_regex(r"[!-~]{1,9}", fullmatch=True))
def test_claim_with_scope(path: str, scope: str) -> None:
    """The claim that is made of a scope has it where it is looked for."""
    assert scopes_in(claim_with(scope, path), path) == {scope}
