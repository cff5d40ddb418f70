"""Declares messages of Envoy's API by the fields that are used.

No package of Envoy's API fits beside Envoy's own.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

# Messages as fields: name, number, type, and whether it is repeated.
Field = tuple[str, int, str, bool]

_SCALARS = {
    "string": FieldDescriptorProto.TYPE_STRING,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
    "int32": FieldDescriptorProto.TYPE_INT32,
}


def declare(package: str, messages: Mapping[str, Sequence[Field]]) -> Mapping[str, Any]:
    """Returns the classes of messages, by name; on the wire they are those of Envoy."""
    file = FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for name, fields in messages.items():
        message: DescriptorProto = file.message_type.add(name=name)
        for field, number, kind, is_repeated in fields:
            declared = message.field.add(name=field, number=number)
            declared.label = (
                FieldDescriptorProto.LABEL_REPEATED
                if is_repeated
                else FieldDescriptorProto.LABEL_OPTIONAL
            )
            declared.type = _SCALARS.get(kind, FieldDescriptorProto.TYPE_MESSAGE)
            if kind not in _SCALARS:
                declared.type_name = f".{package}.{kind}"
    pool = DescriptorPool()
    pool.Add(file)
    return {
        name: GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in messages
    }
