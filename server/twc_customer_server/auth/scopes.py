"""Finds the scopes, or roles, of a token in the claim that the settings name."""

from collections.abc import Mapping
from typing import Any

# In place of a scope: the call requires none.
ANY = "*"


def scopes_in(claims: Mapping[str, Any], path: str) -> frozenset[str]:
    """Returns the scopes of a token; none if the claim is missing or has another form.

    They are a text, divided by spaces (RFC 8693, section 4.2), or a list of texts. `path`
    is the claim's name, or names divided by dots, of objects in one another.
    """
    value = claims.get(path)
    if value is None:
        value = claims
        for name in path.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
    if isinstance(value, str):
        return frozenset(value.split())
    if isinstance(value, list):
        return frozenset(scope for scope in value if isinstance(scope, str))
    return frozenset()


def claim_with(scope: str, path: str) -> dict[str, Any]:
    """Returns the claim with a scope, in which `scopes_in` finds it."""
    value: Any = scope
    for name in reversed(path.split(".")):
        value = {name: value}
    return dict(value)
