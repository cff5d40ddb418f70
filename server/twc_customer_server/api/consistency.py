"""The header by which a call accepts what is not the newest, and the tokens that bound that.

A token names a position of the database. A read with one sees all up to it: what its caller has
written, and what it has read before. Calls without the header are not concerned.
"""

import re
from functools import partial
from types import SimpleNamespace
from typing import Any

from twc_customer_server.api import page_tokens
from twc_customer_server.api.reads import Reads
from twc_customer_server.api.servicer import CustomerServicer
from twc_customer_server.contract import LONG_LIVED_RPCS, SERVICE
from twc_customer_server.errors import InvalidInput, Violation
from twc_customer_server.middleware.rpc import Call
from twc_customer_server.storage.replica import Position
from twc_customer_server.storage.replicas import ReadSession, Replicas

_NAME = "X-TWC-Consistency-Token"
HEADER = _NAME.lower()

# A caller without a token sends one of these: for whatever a replica has, or the primary.
ANY = "any"
LATEST = "latest"

_PLACE = re.compile(r"([0-9a-f]{1,16}) ([0-9a-f]{1,16})", re.ASCII)


def with_tokens(servicer: CustomerServicer, replicas: Replicas) -> SimpleNamespace:
    """Returns the RPCs of a servicer, of which those that read use replicas if a call accepts that.

    Where the request has the header, so has the response, with a token of what the call has
    written or seen; long-lived streams have none.
    """
    rpcs = {method.name: getattr(servicer, method.name) for method in SERVICE.methods}
    for name in rpcs.keys() - {*LONG_LIVED_RPCS}:
        rpcs[name] = partial(_serve, servicer, name, replicas)
    return SimpleNamespace(**rpcs)


def _serve(
    servicer: CustomerServicer, name: str, replicas: Replicas, request: Any, call: Call
) -> Any:
    """Serves a call. Raises InvalidInput if the header has what is no token, and what the RPC does.

    Responses of short streams are complete, and so are their headers, before the first is sent.
    """
    header = call.header(HEADER)
    if header is None:
        return getattr(servicer, name)(request, call)
    session = _session(replicas, call.tenant, header)
    served: Any = servicer
    if hasattr(Reads, name):
        served = servicer.reading(session)
    else:
        # Its token is of the primary, after the write, whatever the caller knew before.
        session = replicas.latest_reads()
    metadata: list[tuple[str, str]] = []
    response = getattr(served, name)(request, call.telling(metadata.extend))
    if position := session.position(call.tenant):
        metadata.append((HEADER, token(call.tenant, position)))
    call.tell(tuple(metadata))
    return response


def token(tenant: str, position: Position) -> str:
    """Returns the token of a position, bound to a tenant."""
    return page_tokens.make((tenant, HEADER), f"{position.system:x} {position.wal:x}")


def _session(replicas: Replicas, tenant: str, header: str) -> ReadSession:
    """Returns the reads that a call accepts, by a list of what they must see. Raises InvalidInput.

    A client whose calls overlap has several tokens, and does not know which is the newest.
    """
    values = [value.strip() for value in header.split(",")]
    try:
        positions = [_parse(tenant, value) for value in values if value not in {ANY, LATEST}]
    except ValueError as error:
        raise InvalidInput([Violation(_NAME, str(error))]) from error
    return replicas.latest_reads() if LATEST in values else replicas.reads_since(positions)


def _parse(tenant: str, text: str) -> Position:
    """Returns the position of a token. Raises ValueError."""
    try:
        parsed = page_tokens.parse(text)
        system, wal = (int(number, 16) for number in _place(parsed.place))
    except ValueError as error:
        raise ValueError(f"must be {ANY}, {LATEST} or the token of an earlier response") from error
    if not parsed.is_for((tenant, HEADER)):
        raise ValueError("belongs to another tenant; send latest")
    return Position(system, wal)


def _place(text: str) -> tuple[str, ...]:
    if found := _PLACE.fullmatch(text):
        return found.groups()
    raise ValueError("is no place")
