"""The attacks, by their kind; to add one, write a function with a decorator of `registry`."""

from tests.security.attacks import (
    bodies,
    connections,
    floods,
    frames,
    headers,
    idle,
    issuers,
    streams,
    tenants,
    tokens,
    uploads,
    values,
)
from tests.security.attacks.registry import ATTACKS, Attack

__all__ = [
    "ATTACKS",
    "Attack",
    "bodies",
    "connections",
    "floods",
    "frames",
    "headers",
    "idle",
    "issuers",
    "streams",
    "tenants",
    "tokens",
    "uploads",
    "values",
]
