"""The composition root: puts settings, storage, servicer and gRPC server together."""

import logging
import socket
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import cast

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from twc_customer_server.api.servicer import CustomerServicer
from twc_customer_server.auth import development, key_sets
from twc_customer_server.auth.authenticator import Callers
from twc_customer_server.auth.key_sets import KeySet, Policy
from twc_customer_server.auth.tokens import PLACEHOLDER, Trust, Verifier
from twc_customer_server.contract import LONG_LIVED_RPCS, MAX_UPLOAD_BYTES, SERVICE
from twc_customer_server.middleware.rpc import guard
from twc_customer_server.settings import Settings
from twc_customer_server.storage.database import Database
from twc_customer_server.storage.postgres import Postgres
from twc_customer_server.storage.purger import Purging
from twc_customer_server.storage.sqlite import Sqlite
from twc_customer_server.storage.store import CustomerStore
from twc_customer_server.telemetry import metrics_server
from twc_customer_server.telemetry.access_log import CallLog
from twc_customer_server.telemetry.metrics import Counts
from twc_customer_server.telemetry.metrics_server import Endpoint
from twc_customer_server.transport import grpc_server
from twc_customer_server.transport.executor import Threads

_OPTIONS = (
    # The rules, which say what is right, are to refuse what is too large, and
    # identity, which answers 401, what is no token.
    ("grpc.max_receive_message_length", MAX_UPLOAD_BYTES + (1 << 20)),
    ("grpc.max_metadata_size", 128 << 10),
    ("grpc.absolute_max_metadata_size", 128 << 10),
    # Clients may ping as often as proxies do to keep idle connections open.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
)

_log = logging.getLogger(__name__)


class App:
    """A server on its addresses, from `start` to `stop`."""

    def __init__(self, settings: Settings, addresses: Sequence[str], memory: int = -1) -> None:
        """Binds the addresses (`host:port` or `unix:path`). Raises OSError if one is taken.

        Calls are counted in memory of `metrics.share`, if that is given.
        """
        self._settings = settings
        self._database = open_database(settings)
        self._threads = Threads(settings.threads)
        self._server = grpc.server(
            # It submits to them, and adds callbacks to what it has submitted.
            cast("ThreadPoolExecutor", self._threads),
            options=[*_OPTIONS, ("grpc.so_reuseport", int(settings.share_port))],
            maximum_concurrent_rpcs=settings.max_concurrent_rpcs,
        )
        store = CustomerStore(self._database)
        self._purging = Purging(lambda: store.purge(round(time.time() * 1000)))
        servicer = CustomerServicer(store, settings.region)
        counts = Counts(SERVICE, memory)
        self._call_log = CallLog()
        guarded = guard(
            servicer,
            counts,
            callers_of(settings),
            max_streams=max(1, settings.threads // 2),
            endless=LONG_LIVED_RPCS,
            account=self._call_log.add,
        )
        grpc_server.add(self._server, SERVICE, guarded)
        self._health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if settings.serves_reflection:
            names = (SERVICE.full_name, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)
        credentials = _credentials(settings)
        self.ports = [_bind(self._server, address, credentials) for address in addresses]
        self._endpoint: Endpoint | None = None
        if settings.metrics_port:
            self._endpoint = Endpoint(
                listen_for_metrics(settings), partial(metrics_server.text, [counts])
            )

    def start(self) -> None:
        """Opens the database and serves. Raises CannotServeError."""
        self.prepare()
        self.serve()

    def prepare(self) -> None:
        """Opens the database, which may take as long as it is away. Raises CannotServeError."""
        self._database.prepare()

    def serve(self) -> None:
        """Serves, with a database that is open."""
        self._call_log.start()
        self._purging.start()
        self._server.start()
        if self._endpoint:
            self._endpoint.start()
        for service in ("", SERVICE.full_name):
            self._health.set(service, health_pb2.HealthCheckResponse.SERVING)

    def stop(self) -> None:
        """Reports NOT_SERVING, lets running calls end, then closes the database."""
        self._health.enter_graceful_shutdown()
        time.sleep(self._settings.drain_seconds)
        self._server.stop(self._settings.grace_seconds).wait()
        self._threads.stop()
        self._call_log.stop()
        if self._endpoint:
            self._endpoint.stop()
        self._purging.stop()
        self._database.shut_down()


def open_database(settings: Settings) -> Database:
    """The database that is set: PostgreSQL if it is, else SQLite.

    Raises what `open_postgres` and `open_sqlite` do.
    """
    return open_postgres(settings) if settings.database_url else open_sqlite(settings)


def open_postgres(settings: Settings) -> Postgres:
    """The database of DATABASE_URL. Raises CannotServeError if there is no such URL."""
    return Postgres(
        settings.database_url or "",
        settings.database_pool_size,
        settings.database_timeout_seconds,
        settings.database_wait_seconds,
    )


def open_sqlite(settings: Settings) -> Sqlite:
    """The database in DATA_DIR. Raises OSError if that cannot be made."""
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Sqlite(settings.data_dir / "customers.db")


def callers_of(settings: Settings) -> Callers:
    """Whom to admit. Raises OSError if the issuer's keys are a file that cannot be read."""
    policy = Policy(settings.jwks_lifetime_seconds, settings.jwks_cooldown_seconds)
    background = ThreadPoolExecutor(1, thread_name_prefix="jwks")
    issuer, location = settings.issuer or "", settings.jwks or ""
    if settings.development:
        own = development.DevelopmentIssuer(settings.development_folder)
        issuer, location = development.ISSUER, str(own.jwks)
        _log.warning("DEVELOPMENT MODE: whoever can read %s can be any tenant", own.jwks.parent)
    trust = Trust(
        issuer,
        settings.audience,
        settings.algorithms,
        settings.tenant_claim,
        settings.clock_skew_seconds,
    )

    read = key_sets.read_realm if settings.has_realms else key_sets.read

    def key_set(realm: str) -> KeySet:
        place = location.replace(PLACEHOLDER, realm)
        return KeySet(partial(read, place), policy, background)

    if not settings.has_realms and "://" not in location:
        key_sets.read(location)
    return Callers(Verifier(trust, key_set))


def listen_for_metrics(settings: Settings) -> socket.socket:
    """A socket on METRICS_PORT. Raises OSError, which says so, if that is taken."""
    try:
        return metrics_server.listen(settings.bind, settings.metrics_port)
    except OSError as error:
        raise OSError(cannot_listen(f"{settings.host}:{settings.metrics_port}")) from error


def cannot_listen(address: str) -> str:
    """Says that an address is taken."""
    return f"cannot listen on {address}: is something else listening there?"


def _credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """What proves the server to clients, and with a client CA them to it, if that is set."""
    if not (settings.tls_certificate and settings.tls_key):
        return None
    pair = (settings.tls_key.read_bytes(), settings.tls_certificate.read_bytes())
    ca = settings.tls_client_ca.read_bytes() if settings.tls_client_ca else None
    return grpc.ssl_server_credentials([pair], ca, require_client_auth=ca is not None)


def _bind(server: grpc.Server, address: str, credentials: grpc.ServerCredentials | None) -> int:
    """Listens on an address. A Unix socket needs no TLS: its folder says who may use it."""
    try:
        if credentials is None or address.startswith("unix:"):
            return server.add_insecure_port(address)
        return server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise OSError(cannot_listen(address)) from error
