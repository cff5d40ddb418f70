"""Sets up both kinds of channel: address, TLS, keepalive, and where a token may travel."""

import ipaddress
from pathlib import Path
from typing import NamedTuple

import grpc

from twc_customer_client.rpcs import MAX_MESSAGE_BYTES

OPTIONS = (
    # Streams notice within a minute that the server is gone; it permits as many pings.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # Reconnects soon after the server has restarted.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.primary_user_agent", "twc-customer-client"),
)

_LOCAL_SCHEMES = ("unix", "unix-abstract", "vsock")


class Tls(NamedTuple):
    """PEM files for TLS: authorities to trust, gRPC's if None, and the client's own certificate."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """Reads the files. Raises OSError, and ValueError if one of certificate and key is None."""
        if (self.certificate is None) != (self.key is None):
            raise ValueError("a client's certificate and its key are needed together")
        ca, key, certificate = (
            path.read_bytes() if path else None for path in (self.ca, self.key, self.certificate)
        )
        return grpc.ssl_channel_credentials(ca, key, certificate)


def channel_credentials(
    target: str, *, tls: Tls | bool | None, plaintext: bool
) -> grpc.ChannelCredentials | None:
    """Returns the credentials of a channel, None if it is to be plaintext.

    Unless told otherwise that is a channel of this machine alone. Raises
    ValueError if a token would travel elsewhere unencrypted, unless `plaintext`
    permits it.
    """
    is_local = is_loopback(target)
    if tls is None:
        tls = not (is_local or plaintext)
    if tls is False:
        if not (is_local or plaintext):
            raise ValueError(
                f"the token would travel to {target} unencrypted: use TLS, or permit plaintext "
                "if you trust the network"
            )
        return None
    return (Tls() if tls is True else tls).credentials()


def is_loopback(target: str) -> bool:
    """Tells whether a target of gRPC is on this machine, whatever else it is."""
    scheme, colon, rest = target.partition(":")
    if colon and scheme in _LOCAL_SCHEMES:
        return True
    if colon and scheme in {"dns", "ipv4", "ipv6"}:
        # dns://authority/host:port
        target = rest.rpartition("/")[2]
    return all(is_loopback_host(_host(each)) for each in target.split(","))


def _host(address: str) -> str:
    """Returns the host of `host:port`, `[host]:port` or a host alone."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    host, _, port = address.rpartition(":")
    return host if host and ":" not in host and port.isdigit() else address


def is_loopback_host(host: str) -> bool:
    """Tells whether a host is this machine, by its address or the name for that."""
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    # A connection to 0.0.0.0 or :: does not leave the machine either.
    return address.is_loopback or address.is_unspecified
