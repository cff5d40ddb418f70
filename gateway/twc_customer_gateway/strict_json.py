"""Generates the Lua script that checks JSON bodies: the contract as a table, then the parser.

The table, CONTRACT, has the type of the body of each RPC that has one, in the
form that `lua/strict_json.lua` describes.
"""

from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor import (
    Descriptor,
    EnumDescriptor,
    FieldDescriptor,
    ServiceDescriptor,
)

from twc_customer_gateway.filters import SMALL_BODY_BYTES
from twc_customer_gateway.matchers import WHOLE, HttpRoute, http_routes
from twc_customer_server.contract import MAX_UPLOAD_CUSTOMERS

_LUA = Path(__file__).parent / "lua"
_SCRIPTS = [_LUA / f"{name}.lua" for name in ("violations", "json_tokens", "strict_json")]

# The field of requests that names members of the body that are null.
CLEARED_FIELDS = "cleared_fields"

_SCALARS = {
    FieldDescriptor.TYPE_STRING: "text",
    FieldDescriptor.TYPE_BOOL: "boolean",
    FieldDescriptor.TYPE_DOUBLE: "number",
}
# Messages that are a string in JSON.
_STRINGS = {"google.protobuf.Timestamp": "time", "google.protobuf.FieldMask": "text"}


def script(service: ServiceDescriptor, *, refuses_unknown: bool) -> str:
    """Returns the script for the RPCs of a service; it may refuse members that are unknown."""
    routes = [route for route in http_routes(service) if route.body]
    bodies = {route.rpc: _message(route) for route in routes}
    messages: dict[str, Descriptor] = {}
    for body in bodies.values():
        _collect(body, messages)
    lines = ["local message = {}"]
    lines += [f'message["{name}"] = {{}}' for name in messages]
    for message in messages.values():
        lines += _members(message)
    for route in routes:
        if route.body == WHOLE:
            lines += _path_members(route)
    lines += [
        f"SMALL_BODY_BYTES = {SMALL_BODY_BYTES}",
        f"REFUSES_UNKNOWN = {str(refuses_unknown).lower()}",
        "CONTRACT = {}",
    ]
    for rpc, body in bodies.items():
        kind = _object(body)
        if rpc.client_streaming:
            # The server rejects a null, as one item of the upload.
            kind = f'{{is = "list", nulls = true, most = {MAX_UPLOAD_CUSTOMERS}, of = {kind}}}'
        if CLEARED_FIELDS in rpc.input_type.fields_by_name:
            kind = _object(body, "clears = true")
        lines.append(f'CONTRACT["{rpc.name}"] = {kind}')
    return "\n".join([*lines, *(script.read_text() for script in _SCRIPTS)])


def _collect(message: Descriptor, found: dict[str, Descriptor]) -> None:
    """Adds a message, and all that it contains, to those found."""
    if message.full_name in found or message.full_name in _STRINGS:
        return
    found[message.full_name] = message
    for field in message.fields:
        if field.message_type:
            _collect(field.message_type, found)


def _message(route: HttpRoute) -> Descriptor:
    """Returns the message type of a route's body. Raises ValueError if it is a scalar."""
    if route.body == WHOLE:
        return route.rpc.input_type
    field = route.rpc.input_type.fields_by_name[route.body]
    if field.message_type is None:
        raise ValueError(f"the body {field.full_name} is not a message")
    return field.message_type


def _members(message: Descriptor) -> Iterator[str]:
    """Yields the lines that set the types of a message's members, by both of their names."""
    for field in message.fields:
        yield f"do local member = {_type(field)}"
        for name in {field.name, field.json_name}:
            yield f'  message["{message.full_name}"]["{name}"] = member'
        yield "end"


def _path_members(route: HttpRoute) -> Iterator[str]:
    """Yields the lines that refuse members which the path has.

    The transcoder has no good words for them.
    """
    for name in route.in_path:
        field = route.rpc.input_type.fields_by_name[name]
        for each in {field.name, field.json_name}:
            member = f'message["{route.rpc.input_type.full_name}"]["{each}"]'
            yield f'{member} = {{is = "path", wanted = "left out: it is in the path"}}'


def _type(field: FieldDescriptor) -> str:
    if field.message_type and field.message_type.GetOptions().map_entry:
        return f'{{is = "map", of = {_single(field.message_type.fields_by_name["value"])}}}'
    single = _single(field)
    return f'{{is = "list", of = {single}}}' if field.is_repeated else single


def _single(field: FieldDescriptor) -> str:
    if field.enum_type:
        return _enum(field.enum_type)
    if field.message_type is None:
        return f'{{is = "{_SCALARS[field.type]}"}}'
    if field.message_type.full_name in _STRINGS:
        return f'{{is = "{_STRINGS[field.message_type.full_name]}"}}'
    return _object(field.message_type)


def _enum(enum: EnumDescriptor) -> str:
    names = [value.name for value in enum.values]
    known = ", ".join(f"{name} = true" for name in names)
    # The first value means unspecified.
    *others, last = names[1:]
    wanted = f"{', '.join(others)} or {last}"
    return f'{{is = "enum", names = {{{known}}}, wanted = "{wanted}"}}'


def _object(message: Descriptor, *more: str) -> str:
    parts = ", ".join(['is = "object"', f'of = message["{message.full_name}"]', *more])
    return f"{{{parts}}}"
