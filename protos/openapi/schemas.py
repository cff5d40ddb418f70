"""JSON schemas of messages, as the transcoder reads and writes them."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from google.api import field_behavior_pb2
from google.api.field_behavior_pb2 import FieldBehavior
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

Schema = dict[str, Any]

_SCALARS: dict[int, Schema] = {
    FieldDescriptor.TYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.TYPE_DOUBLE: {"type": "number", "format": "double"},
    FieldDescriptor.TYPE_INT32: {"type": "integer", "format": "int32"},
    # JSON numbers do not hold all of them.
    FieldDescriptor.TYPE_INT64: {"type": "string", "format": "int64"},
    FieldDescriptor.TYPE_STRING: {"type": "string"},
}

# Messages with a JSON form of their own.
_WELL_KNOWN: dict[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.FieldMask": {
        "type": "string",
        "description": "Names of fields, separated by commas.",
    },
    "google.protobuf.Empty": {"type": "object"},
    "google.rpc.Status": {"$ref": "#/components/schemas/Error"},
}


class Schemas:
    """The schemas of messages that are referred to, each for requests or for responses.

    In a request every member may be null, which is as if it were absent, or clears
    it; what the server sets alone is left out. In a response lists and maps are
    always there.
    """

    def __init__(self, comments: Mapping[str, str]) -> None:
        self.components: dict[str, Schema] = {}
        self._comments = comments

    def of(self, message: Descriptor, *, is_input: bool, left_out: Collection[str] = ()) -> Schema:
        """Returns a reference to a message's schema, which it adds to the components.

        Fields that are `left_out` are not in it.
        """
        if message.full_name in _WELL_KNOWN:
            return _WELL_KNOWN[message.full_name]
        name = _component(message) + ("Input" if is_input else "")
        if name not in self.components:
            self.components[name] = {}
            fields = [field for field in message.fields if field.name not in left_out]
            self.components[name] = self._object(message, fields, is_input=is_input)
        return {"$ref": f"#/components/schemas/{name}"}

    def parameter(self, field: FieldDescriptor) -> Schema:
        """Returns the schema of a parameter of path or query."""
        return self._single(field, is_input=False)

    def describe(self, full_name: str) -> str:
        """Returns the comment of a part of the contract."""
        return self._comments.get(full_name, "")

    def _object(
        self, message: Descriptor, of_message: Iterable[FieldDescriptor], *, is_input: bool
    ) -> Schema:
        fields = [
            field
            for field in of_message
            if not (is_input and FieldBehavior.OUTPUT_ONLY in _behavior(field))
        ]
        schema: Schema = {
            "type": "object",
            "description": self.describe(message.full_name),
            "properties": {
                field.json_name: self._field(field, is_input=is_input) for field in fields
            },
        }
        always = [field.json_name for field in fields if field.is_repeated]
        if always and not is_input:
            schema["required"] = always
        return schema

    def _field(self, field: FieldDescriptor, *, is_input: bool) -> Schema:
        schema = self._repeated(field, is_input=is_input)
        if is_input:
            schema = _or_null(schema)
        description = self.describe(field.full_name)
        if not description:
            return schema
        # Beside a reference a description is the member's own (OpenAPI 3.1).
        return schema | {"description": description}

    def _repeated(self, field: FieldDescriptor, *, is_input: bool) -> Schema:
        if not field.is_repeated:
            return self._single(field, is_input=is_input)
        if field.message_type and field.message_type.GetOptions().map_entry:
            values = field.message_type.fields_by_name["value"]
            return {
                "type": "object",
                "additionalProperties": self._single(values, is_input=is_input),
            }
        return {"type": "array", "items": self._single(field, is_input=is_input)}

    def _single(self, field: FieldDescriptor, *, is_input: bool) -> Schema:
        if field.enum_type:
            return self._enum(field.enum_type)
        if field.message_type:
            return self.of(field.message_type, is_input=is_input)
        return dict(_SCALARS[field.type])

    def _enum(self, enum: EnumDescriptor) -> Schema:
        # The value 0 says that nothing is set.
        values = [value for value in enum.values if value.number]
        lines = [f"- `{value.name}`: {self.describe(_value_name(value))}" for value in values]
        return {
            "type": "string",
            "enum": [value.name for value in values],
            "description": "\n".join([self.describe(enum.full_name), "", *lines]).strip(),
        }


def _component(message: Descriptor) -> str:
    """Returns a message's name within its package."""
    return message.full_name.removeprefix(f"{message.file.package}.").replace(".", "")


def _value_name(value: Any) -> str:
    """Returns the name by which a value's comment is found: below its enum."""
    return f"{value.type.full_name}.{value.name}"


def _or_null(schema: Schema) -> Schema:
    if "$ref" in schema:
        return {"oneOf": [schema, {"type": "null"}]}
    nullable = schema | {"type": [schema["type"], "null"]}
    if "enum" in schema:
        nullable["enum"] = [*schema["enum"], None]
    return nullable


def _behavior(field: FieldDescriptor) -> list[int]:
    return list(field.GetOptions().Extensions[field_behavior_pb2.field_behavior])
