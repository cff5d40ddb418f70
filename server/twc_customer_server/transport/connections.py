"""The limits of grpcio for connections, of gateways and of others."""

from twc_customer_server.contract import MAX_BATCH_BYTES, MAX_UPLOAD_BYTES

# Calls of one connection; clients open another, or wait, for more.
MAX_CONNECTION_CALLS = 256

_CHANNEL_OPTIONS = (
    # Messages are decompressed, up to their limit, where they are decoded: grpcio decompresses
    # all of a message, on the thread that reads its connection.
    ("grpc.per_message_decompression", 0),
    # For a token that is too long, which authentication answers with 401.
    ("grpc.max_metadata_size", 128 << 10),
    ("grpc.absolute_max_metadata_size", 128 << 10),
    # What a client can send of a message before it is received stays `WINDOW_BYTES`, however
    # fast the connection is; then the window is as large as the message.
    ("grpc.http2.bdp_probe", 0),
    # Clients may ping as often as they want: grpcio takes far longer to complain of a ping than
    # to answer it, and does so of all that have come before the connection ends.
    ("grpc.http2.max_ping_strikes", 0),
    # Calls that Python has not seen yet, many of which have ended: of more grpcio would
    # cancel any.
    ("grpc.server.max_pending_requests", 10_000),
    ("grpc.server.max_pending_requests_hard_limit", 20_000),
)
# Messages may be larger than what the rules allow, so that their error answers, not grpcio's.
# The gateway makes a message of whatever is an item of an upload.
#
# A client that resets many calls may have fewer at a time. The connection of a gateway has
# the calls of many clients, and it refuses itself those of one who does that.
_NATIVE_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_BATCH_BYTES + (1 << 20)),
    ("grpc.max_concurrent_streams", MAX_CONNECTION_CALLS),
    ("grpc.http.overload_protection", 1),
)
_GATEWAY_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_UPLOAD_BYTES + (1 << 20)),
    ("grpc.max_concurrent_streams", 4 * MAX_CONNECTION_CALLS),
    ("grpc.http.overload_protection", 0),
)


def channel_options(*, is_of_gateway: bool) -> list[tuple[str, int]]:
    """Returns the limits of grpcio for connections of gateways, or of others."""
    return [*_CHANNEL_OPTIONS, *(_GATEWAY_OPTIONS if is_of_gateway else _NATIVE_OPTIONS)]
