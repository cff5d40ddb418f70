"""Decodes requests, and bounds the memory that one takes.

A decoded address takes 280 bytes, and as little as three encoded. A customer
may have 100: of more, just one is decoded, for the rules to refuse.
"""

from collections.abc import Callable, Iterable
from typing import Any

from google.protobuf.descriptor import FileDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from twc.customer.v2.customer_pb2 import Customer
from twc.customer.v2.customer_service_pb2 import ImportCustomersRequest

from twc_customer_server import contract
from twc_customer_server.customers.addresses import MAX_ADDRESSES
from twc_customer_server.errors import MalformedRequest, RequestTooLarge
from twc_customer_server.middleware.compression import FIRST_BYTES, decompressed

# Messages that are no larger cannot hold addresses that take much.
_SMALL_BYTES = 1 << 14

_TOO_LARGE = f"a request takes at most {contract.MAX_BODY_BYTES >> 20} MiB"
_UPLOAD_TOO_LARGE = f"an upload takes at most {contract.MAX_UPLOAD_BYTES >> 20} MiB"

# Takes an encoded message; what follows it is for readers of streams.
Decode = Callable[..., Message]


def decoder(method: MethodDescriptor) -> Decode:
    """Returns the function that decodes a message to an RPC, which may be compressed.

    It drops fields that the contract does not know: no rule would have seen them. It raises
    MalformedRequest and RequestTooLarge.
    """
    message: type[Message] = GetMessageClass(method.input_type)
    outline = GetMessageClass(_OUTLINES.FindMessageTypeByName(method.input_type.full_name))
    most, too_large = contract.MAX_BODY_BYTES, _TOO_LARGE
    if message is ImportCustomersRequest:
        most, too_large = contract.MAX_BATCH_BYTES, contract.BATCH_TOO_LARGE
    elif method.client_streaming:
        # A part of an upload may be as large as all of it.
        most, too_large = contract.MAX_UPLOAD_BYTES, _UPLOAD_TOO_LARGE

    def decode(encoded: bytes, *_: object) -> Message:
        if encoded[:1] in FIRST_BYTES:
            encoded = decompressed(encoded, most)
        if len(encoded) > most:
            raise RequestTooLarge(too_large)
        try:
            if len(encoded) > _SMALL_BYTES:
                encoded = _without_excess(encoded, outline)
            request = message.FromString(encoded)
        except DecodeError:
            raise MalformedRequest from None
        request.DiscardUnknownFields()
        return request

    return decode


def _without_excess(encoded: bytes, outline: type[Message]) -> bytes:
    """Removes the items and addresses of a message that are too many, but for one of each."""
    read: Any = outline.FromString(encoded)
    size = read.ByteSize()
    if "items" in outline.DESCRIPTOR.fields_by_name:
        del read.items[contract.MAX_BATCH_CUSTOMERS + 1 :]
    for customer in _customers(read):
        del customer.addresses[MAX_ADDRESSES + 1 :]
    return encoded if read.ByteSize() == size else read.SerializeToString()


def _customers(read: Any) -> Iterable[Any]:
    names = read.DESCRIPTOR.fields_by_name
    if "items" in names:
        return [item.customer for item in read.items]
    return [read.customer] if "customer" in names else []


def _outlines(file: FileDescriptor) -> DescriptorPool:
    """Returns the contract's messages, with customers that have undecoded addresses alone.

    All else of a customer is kept as it is encoded.
    """
    pool = DescriptorPool()

    def add(dependency: FileDescriptor) -> None:
        for each in dependency.dependencies:
            add(each)
        proto = FileDescriptorProto()
        dependency.CopyToProto(proto)
        for message in proto.message_type:
            if f"{proto.package}.{message.name}" == Customer.DESCRIPTOR.full_name:
                [addresses] = [field for field in message.field if field.name == "addresses"]
                addresses.type = FieldDescriptorProto.TYPE_BYTES
                addresses.ClearField("type_name")
                del message.field[:], message.oneof_decl[:], message.nested_type[:]
                message.field.append(addresses)
        pool.AddSerializedFile(proto.SerializeToString())

    add(file)
    return pool


_OUTLINES = _outlines(contract.SERVICE.file)
