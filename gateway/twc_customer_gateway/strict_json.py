"""The Lua that checks JSON bodies: the contract as a Lua table, then `strict_json.lua`."""

from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor import (
    Descriptor,
    EnumDescriptor,
    FieldDescriptor,
    ServiceDescriptor,
)

from twc_customer_gateway.routes import http_routes
from twc_customer_server.contract import MAX_UPLOAD_CUSTOMERS

_SCRIPT = Path(__file__).parent / "lua" / "strict_json.lua"

_SCALARS = {
    FieldDescriptor.TYPE_STRING: "text",
    FieldDescriptor.TYPE_BOOL: "boolean",
}
# Messages that JSON writes as a string.
_TEXTS = {"google.protobuf.Timestamp": "time"}


def script(service: ServiceDescriptor) -> str:
    """The whole script; its CONTRACT has the body of every RPC that takes one, by RPC."""
    bodies = {
        route.rpc: _message(route.rpc.input_type.fields_by_name[route.body])
        for route in http_routes(service)
        if route.body
    }
    messages: dict[str, Descriptor] = {}
    for body in bodies.values():
        _collect(body, messages)
    lines = ["local message = {}"]
    lines += [f'message["{name}"] = {{}}' for name in messages]
    for message in messages.values():
        lines += _members(message)
    lines.append("CONTRACT = {}")
    for rpc, body in bodies.items():
        wanted = _object(body)
        if rpc.client_streaming:
            # A null here is an item of the upload that is refused by itself.
            wanted = f'{{is = "list", nulls = true, most = {MAX_UPLOAD_CUSTOMERS}, of = {wanted}}}'
        lines.append(f'CONTRACT["{rpc.name}"] = {wanted}')
    return "\n".join([*lines, _SCRIPT.read_text()])


def _collect(message: Descriptor, found: dict[str, Descriptor]) -> None:
    if message.full_name in found or message.full_name in _TEXTS:
        return
    found[message.full_name] = message
    for field in message.fields:
        if field.message_type:
            _collect(field.message_type, found)


def _message(field: FieldDescriptor) -> Descriptor:
    """The message that a body is. Raises ValueError if it is a scalar."""
    if field.message_type is None:
        raise ValueError(f"the body {field.full_name} is not a message")
    return field.message_type


def _members(message: Descriptor) -> Iterator[str]:
    for field in message.fields:
        yield f"do local member = {_type(field)}"
        for name in {field.name, field.json_name}:
            yield f'  message["{message.full_name}"]["{name}"] = member'
        yield "end"


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
    if field.message_type.full_name in _TEXTS:
        return f'{{is = "{_TEXTS[field.message_type.full_name]}"}}'
    return _object(field.message_type)


def _enum(enum: EnumDescriptor) -> str:
    names = [value.name for value in enum.values]
    known = ", ".join(f"{name} = true" for name in names)
    # The first is what stands for none of them.
    *others, last = names[1:]
    wanted = f"{', '.join(others)} or {last}"
    return f'{{is = "enum", names = {{{known}}}, wanted = "{wanted}"}}'


def _object(message: Descriptor) -> str:
    return f'{{is = "object", of = message["{message.full_name}"]}}'
