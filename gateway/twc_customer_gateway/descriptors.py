"""The contract's descriptors, which the transcoder reads."""

from google.api import annotations_pb2
from google.api.http_pb2 import HttpRule
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.rpc import error_details_pb2
from twc.customer.v2 import customer_service_pb2, error_reason_pb2

from twc_customer_gateway import matchers

# Error details arrive as Any: the transcoder writes only types whose descriptor it has.
_FILES = (
    customer_service_pb2.DESCRIPTOR,
    error_reason_pb2.DESCRIPTOR,
    error_details_pb2.DESCRIPTOR,
)


def with_prefix(prefix: str) -> FileDescriptorSet:
    """Returns the contract with all that it imports, each file after those it imports.

    Its REST paths are there with a prefix, too, if that is not empty.
    """
    files: dict[str, FileDescriptor] = {}

    def add(file: FileDescriptor) -> None:
        for imported in file.dependencies:
            add(imported)
        files.setdefault(file.name, file)

    for file in _FILES:
        add(file)
    descriptors = FileDescriptorSet()
    for file in files.values():
        file.CopyToProto(descriptors.file.add())
    if prefix:
        _add_prefix(descriptors, prefix)
    return descriptors


def _add_prefix(descriptors: FileDescriptorSet, prefix: str) -> None:
    """Adds a binding with a prefix for each binding of the contract."""
    methods = [it for file in descriptors.file for service in file.service for it in service.method]
    for method in methods:
        if not method.options.HasExtension(annotations_pb2.http):
            continue
        rule = method.options.Extensions[annotations_pb2.http]
        added = []
        for binding in matchers.bindings(rule):
            verb = binding.WhichOneof("pattern")
            added.append(HttpRule(body=binding.body, **{verb: prefix + getattr(binding, verb)}))
        rule.additional_bindings.extend(added)
