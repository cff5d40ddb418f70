"""The comments of a contract, by the full names of what they document."""

import re
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

# The fields of descriptors that hold what can have a comment, by the number of the field.
_NESTED = {
    "FileDescriptorProto": {4: "message_type", 5: "enum_type", 6: "service"},
    "DescriptorProto": {2: "field", 3: "nested_type", 4: "enum_type"},
    "EnumDescriptorProto": {2: "value"},
    "ServiceDescriptorProto": {2: "method"},
}

# Names of the contract, which readers of JSON meet by other names.
_LINT = re.compile(r"^buf:lint:.*\n?", re.MULTILINE)


def by_full_name(files: FileDescriptorSet) -> dict[str, str]:
    """Returns each comment as Markdown: paragraphs, with a line each."""
    return {name: text for file in files.file for name, text in _of_file(file) if text}


def _of_file(file: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    for location in file.source_code_info.location:
        if location.leading_comments and (name := _name_at(file, location.path)):
            yield f"{file.package}.{name}", _to_markdown(location.leading_comments)


def _name_at(file: FileDescriptorProto, path: Any) -> str | None:
    """Returns the name of what is at a path of a descriptor, None if it is not documented here."""
    place: Any = file
    names = []
    for field, index in zip(path[::2], path[1::2], strict=False):
        nested = _NESTED.get(type(place).__name__, {}).get(field)
        if nested is None:
            return None
        place = getattr(place, nested)[index]
        names.append(place.name)
    return ".".join(names) if names and len(path) % 2 == 0 else None


def _to_markdown(comment: str) -> str:
    lines = _LINT.sub("", "\n".join(line.strip() for line in comment.strip().splitlines()))
    paragraphs = re.split(r"\n{2,}", lines.strip())
    return "\n\n".join(" ".join(paragraph.split("\n")) for paragraph in paragraphs)
