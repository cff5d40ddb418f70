"""Calls of HTTP/2 that begin and do not go on, for every kind of RPC."""

from grpc_health.v1 import health_pb2

from tests.security.attacker import SERVICE, Attacker, Stream, Who
from tests.security.attacks.registry import (
    EVERYONE,
    MEBIBYTE,
    NOBODY,
    OWNER,
    Run,
    attack,
    register,
)
from tests.support.http2_frames import message

CHECK, WATCH = "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
# A call without a message is to end within this time, if it is not a stream of long life.
IDLE_SECONDS = 20

# Calls that are begun; eight are enough to take all threads of a worker.
_MANY = 32
# As large as the native port takes one.
_LARGE_BYTES = 5 * MEBIBYTE
_IDLE: dict[str, tuple[str, tuple[Who, ...], float, dict[str, object]]] = {
    "empty checks": (CHECK, NOBODY, IDLE_SECONDS, {"quick": NOBODY, "is_public": True}),
    "empty watches": (WATCH, NOBODY, IDLE_SECONDS, {"is_public": True}),
    "empty reflections": (REFLECTION, NOBODY, IDLE_SECONDS, {"is_public": True}),
    "empty gets": (f"{SERVICE}/GetCustomer", EVERYONE, IDLE_SECONDS, {}),
    "empty creates": (f"{SERVICE}/CreateCustomer", NOBODY, IDLE_SECONDS, {}),
    "empty lookups": (f"{SERVICE}/LookupCustomers", NOBODY, IDLE_SECONDS, {}),
    "empty exports": (f"{SERVICE}/ExportCustomers", NOBODY, IDLE_SECONDS, {}),
    "empty uploads": (f"{SERVICE}/UploadCustomers", EVERYONE, 0, {"seconds": 8.0}),
    "empty imports": (f"{SERVICE}/ImportCustomers", EVERYONE, 0, {"seconds": 8.0}),
    "empty unknown calls": (f"{SERVICE}/Nothing", NOBODY, IDLE_SECONDS, {}),
}


def _idle(path: str) -> Run:
    def run(attacker: Attacker) -> None:
        attacker.hold_streams(Stream(attacker.rpc(path)), _MANY)

    return run


def _add_idle() -> None:
    for name, (path, who, seconds, more) in _IDLE.items():
        summary = f"{_MANY} calls of {path.rpartition('/')[2]} that send headers and no message."
        for suffix, port in (("", "gateway"), (" native", "native")):
            register(
                name + suffix, summary, _idle(path),
                who=who, port=port, ends_within=seconds, **more,
            )  # fmt: skip


_add_idle()


@attack(who=NOBODY, native=True, ends_within=IDLE_SECONDS)
def unfinished_messages(attacker: Attacker) -> None:
    """32 creates whose message says 100 bytes and has 10."""
    sent = message(b"x" * 10, length=100)
    attacker.hold_streams(Stream(attacker.rpc(f"{SERVICE}/CreateCustomer"), sent), _MANY)


@attack(who=NOBODY, native=True, ends_within=IDLE_SECONDS)
def dripped_messages(attacker: Attacker) -> None:
    """32 creates whose message of 1,000 bytes comes byte by byte."""
    headers = attacker.rpc(f"{SERVICE}/CreateCustomer")
    attacker.hold_streams(Stream(headers, message(b"", length=1000), drip=b"x"), _MANY)


@attack(native=True, slower=2.0, ends_within=IDLE_SECONDS)
def thousand_idle_calls(attacker: Attacker) -> None:
    """1,000 gets on ten connections, none of which sends its message."""
    count = attacker.many(1000)
    attacker.hold_streams(Stream(attacker.rpc(f"{SERVICE}/GetCustomer")), count, connections=10)


@attack(who=OWNER, native=True, slower=2.0, ends_within=IDLE_SECONDS)
def thousand_idle_calls_of_ten_tenants(attacker: Attacker) -> None:
    """1,000 gets, 100 of each of ten tenants, none of which sends its message."""
    _hold_streams_of_tenants(attacker, tenants=10, calls=attacker.many(100))


@attack(who=OWNER, native=True, slower=2.0, ends_within=IDLE_SECONDS)
def thousand_idle_calls_of_hundred_tenants(attacker: Attacker) -> None:
    """1,000 gets, ten of each of 100 tenants, none of which sends its message."""
    _hold_streams_of_tenants(attacker, tenants=100, calls=attacker.many(10))


@attack(who=OWNER, native=True, ends_within=IDLE_SECONDS, peak_mebibytes=500)
def half_sent_messages(attacker: Attacker) -> None:
    """100 gets, whose messages of 5 MiB come as fast as they are taken, 1 MiB at a time."""
    headers = attacker.rpc(f"{SERVICE}/GetCustomer")
    stream = Stream(headers, message(b"", length=_LARGE_BYTES), drip=bytes(MEBIBYTE))
    attacker.hold_streams(stream, attacker.many(100))


@attack(who=OWNER, native=True, ends_within=IDLE_SECONDS, peak_mebibytes=600)
def half_sent_messages_of_ten_tenants(attacker: Attacker) -> None:
    """120 gets of ten tenants, whose messages of 5 MiB lack their last byte."""
    sent = message(bytes(_LARGE_BYTES - 1), length=_LARGE_BYTES)
    _hold_streams_of_tenants(attacker, tenants=10, calls=attacker.many(12), sent=sent)


def _hold_streams_of_tenants(
    attacker: Attacker, *, tenants: int, calls: int, sent: bytes = b""
) -> None:
    """Begins calls of each of some tenants, on a connection for each."""
    path = f"{SERVICE}/GetCustomer"
    streams = [Stream(attacker.rpc(path, attacker.next()), sent) for _ in range(tenants)]
    attacker.start()
    attacker.at_once(lambda number: attacker.hold_streams(streams[number], calls), tenants)


@attack(who=NOBODY, native=True, is_public=True, quick=NOBODY)
def watches(attacker: Attacker) -> None:
    """560 watches of the health on seven connections."""
    sent = message(health_pb2.HealthCheckRequest().SerializeToString())
    attacker.hold_streams(Stream(attacker.rpc(WATCH), sent, ends=True), 560, connections=7)


@attack(who=NOBODY, native=True, is_public=True)
def watches_of_unknown_services(attacker: Attacker) -> None:
    """500 watches, each of another service that does not exist."""

    def call(_: int) -> None:
        with attacker.http2() as connection:
            for _ in range(attacker.many(100)):
                request = health_pb2.HealthCheckRequest(service=attacker.next() * 100)
                stream = connection.open(attacker.rpc(WATCH))
                sent = message(request.SerializeToString())
                connection.write(stream, sent, attacker.end, end=True)
            connection.wait(attacker.end)

    attacker.at_once(call, 5)


@attack(who=NOBODY, native=True, is_public=True, answer_bytes=None)
def reflection_of_everything(attacker: Attacker) -> None:
    """16 reflection streams that ask for the whole descriptor 500 times each."""
    # `file_containing_symbol`, field 4.
    symbol = SERVICE[1:].encode()
    sent = message(b"\x22" + bytes([len(symbol)]) + symbol) * 500
    attacker.hold_streams(Stream(attacker.rpc(REFLECTION), sent), 16, connections=4)


@attack(native=True, who=EVERYONE)
def thousand_calls_at_once(attacker: Attacker) -> None:
    """Complete gets, 100 at a time on each of ten connections."""

    def call(_: int) -> None:
        while not attacker.is_over:
            with attacker.http2() as connection:
                for _ in range(100):
                    stream = connection.open(attacker.rpc(f"{SERVICE}/GetCustomer"))
                    connection.write(stream, message(b"\x0a\x01x"), attacker.end, end=True)
                connection.wait(attacker.end + attacker.answer_seconds)

    attacker.at_once(call, attacker.many(10))


@attack(native=True)
def short_deadlines(attacker: Attacker) -> None:
    """Gets whose deadline is a nanosecond, and some whose is 3,000 years."""

    def call(number: int) -> None:
        timeout = "1n" if number % 2 else "99999999H"
        while not attacker.is_over:
            with attacker.http2() as connection:
                for _ in range(50):
                    headers = attacker.rpc(f"{SERVICE}/GetCustomer", grpc_timeout=timeout)
                    stream = connection.open(headers)
                    connection.write(stream, message(b""), attacker.end, end=True)
                connection.wait(attacker.end)

    attacker.at_once(call, 4)
