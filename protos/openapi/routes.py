"""The REST routes of the contract, by its HTTP annotations."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from google.api import annotations_pb2
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor, ServiceDescriptor

# A body that is the request, but for the fields in the path.
WHOLE = "*"


class Route(NamedTuple):
    """A REST route of an RPC; `number` counts those of one RPC, from 0."""

    rpc: MethodDescriptor
    number: int
    method: str
    path: str
    body: str

    @property
    def path_fields(self) -> list[FieldDescriptor]:
        """The fields of the request that the path holds."""
        return [self._field(name) for name in re.findall(r"\{(\w+)\}", self.path)]

    @property
    def query_fields(self) -> list[FieldDescriptor]:
        """The fields of the request that the query may hold."""
        if self.body == WHOLE:
            return []
        elsewhere = {self.body, *(field.name for field in self.path_fields)}
        return [field for field in self.rpc.input_type.fields if field.name not in elsewhere]

    @property
    def json_path(self) -> str:
        """The path, with JSON names of its fields."""
        return re.sub(r"\{(\w+)\}", lambda it: "{" + self._field(it[1]).json_name + "}", self.path)

    def _field(self, name: str) -> FieldDescriptor:
        return self.rpc.input_type.fields_by_name[name]


def routes(service: ServiceDescriptor) -> Iterator[Route]:
    """Yields the REST routes of all RPCs that have any."""
    for rpc in service.methods:
        rule = rpc.GetOptions().Extensions[annotations_pb2.http]
        for number, binding in enumerate([rule, *rule.additional_bindings]):
            if verb := binding.WhichOneof("pattern"):
                yield Route(rpc, number, verb.upper(), getattr(binding, verb), binding.body)
