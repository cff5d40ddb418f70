"""The composition root: builds storage, servicer, middleware and transport from settings."""

import logging
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol

from twc_customer_server.api.consistency import with_tokens
from twc_customer_server.api.servicer import CustomerServicer
from twc_customer_server.auth import development, jwks
from twc_customer_server.auth.authenticator import Authenticator, TrustPolicy
from twc_customer_server.auth.jwks import Keys
from twc_customer_server.auth.key_sets import RefreshPolicy
from twc_customer_server.auth.realms import KeySets
from twc_customer_server.auth.tenants import PLACEHOLDER
from twc_customer_server.contract import SERVICE
from twc_customer_server.databases import open_database, open_replicas
from twc_customer_server.instruments import instruments
from twc_customer_server.middleware.awaiting import AwaitingAuthenticator
from twc_customer_server.middleware.rpc import wrap
from twc_customer_server.readiness import Readiness
from twc_customer_server.renewal import Renewal
from twc_customer_server.settings.model import Settings
from twc_customer_server.storage.database import CannotServeError
from twc_customer_server.storage.idempotency import OutcomePurge
from twc_customer_server.storage.purging import Purger
from twc_customer_server.storage.retention import RetentionPurge
from twc_customer_server.storage.stores import Stores
from twc_customer_server.telemetry.access_log import AccessLog
from twc_customer_server.telemetry.metrics import OwnMetrics, ServiceMetrics
from twc_customer_server.telemetry.sampler import Sampler
from twc_customer_server.transport import ports
from twc_customer_server.transport.grpc_server import GrpcServer
from twc_customer_server.transport.services import Services

if TYPE_CHECKING:
    from twc_customer_server.telemetry.metrics_server import MetricsServer

_log = logging.getLogger(__name__)


class Transport(Protocol):
    """Brings the calls of services, from `start` to `stop`."""

    ports: list[int]

    def start(self) -> None:
        """Serves, and reports SERVING."""

    def stop(self, on_refusing: Callable[[], object]) -> None:
        """Shuts down gracefully; calls `on_refusing` when new calls are refused."""

    def renew_certificates(self) -> None:
        """Has connections from now on use what the files of TLS have. Raises OSError."""


# Makes the transport of services, on addresses.
MakeTransport = Callable[[Services, Settings, Sequence[str]], Transport]


class App:
    """A server on its addresses, from `start` to `stop`."""

    def __init__(
        self,
        settings: Settings,
        addresses: Sequence[str],
        metrics_memory: int = -1,
        make_transport: MakeTransport = GrpcServer,
    ) -> None:
        """Binds the addresses (`host:port` or `unix:path`). Raises OSError if one is taken.

        `metrics_memory` is the file descriptor of memory that shares metrics
        with another process, of `metrics.memory_bytes`.
        """
        # It looks at files before they are read.
        self._renewal = Renewal(
            settings,
            lambda: self._transport.renew_certificates(),  # noqa: PLW0108 - it is made later
            lambda: self._authenticator.refresh_keys(),  # noqa: PLW0108 - the same
        )
        metrics = ServiceMetrics(SERVICE, metrics_memory)
        self._instruments = instruments()
        self._database = open_database(settings, metrics.own, self._instruments.engines)
        self._replicas = open_replicas(settings, self._database, self._instruments.engines)
        reads_of_now = self._replicas.reads_of_now if self._replicas else None
        stores = Stores.of(self._database, settings.idempotency_quota_bytes, reads_of_now)
        purges = [
            OutcomePurge(self._database),
            RetentionPurge(stores.deletions, settings.deleted_retention_days),
        ]
        self._purger = Purger(self._database, purges, metrics.purges)
        self._access_log = AccessLog()
        self._authenticator = authenticator(settings, metrics.own)
        self._servicer = CustomerServicer(
            stores,
            settings.region,
            accept_email_dots=settings.accept_email_dots,
            erase_scope=settings.erase_scope,
        )
        served: object = self._servicer
        if self._replicas:
            served = with_tokens(self._servicer, self._replicas)
        rpcs = wrap(
            served,
            AwaitingAuthenticator(self._authenticator, max(1, settings.threads // 4)),
            metrics,
            on_call_end=self._instruments.on_call_end(self._access_log.add),
            tracing=self._instruments.rpcs,
        )
        self._readiness = Readiness(self._database, self._authenticator.has_keys)
        self._services = Services(rpcs, self._authenticator, settings, metrics.own)
        self._transport = make_transport(self._services, settings, addresses)
        sampled = (self._database, self._authenticator, self._services, stores.changes)
        samples = [each.sample for each in sampled]
        if self._replicas:
            samples.append(self._replicas.sample)
        self._sampler = Sampler(samples)
        self.ports = self._transport.ports
        self._metrics_server: MetricsServer | None = None
        if settings.metrics_port:
            self._metrics_server = metrics_server(settings, metrics, self._services.serves)

    def start(self) -> None:
        """Opens the database and serves. Raises CannotServeError."""
        self.open_database()
        self.serve()

    def open_database(self) -> None:
        """Opens the database; waits while it cannot be reached. Raises CannotServeError."""
        try:
            self._database.prepare()
        except CannotServeError:
            self._database.shut_down()
            raise

    def serve(self) -> None:
        """Serves, with a database that is open."""
        self._access_log.start()
        self._purger.start()
        self._sampler.start()
        self._authenticator.start()
        self._readiness.start()
        if self._replicas:
            self._replicas.start()
        self._renewal.start()
        self._services.tell_ready(self._readiness.is_ready)
        self._transport.start()
        if self._metrics_server:
            self._metrics_server.start()

    def drain(self) -> None:
        """Reports NOT_SERVING to native clients, and serves on."""
        self._services.drain()

    def stop_waiting(self) -> None:
        """Ends the calls that wait for changes; others are answered as before."""
        self._servicer.stop_waiting()

    def stop(self) -> None:
        """Shuts down gracefully: drains, lets running calls end, closes the database."""
        self._transport.stop(on_refusing=self._servicer.stop_waiting)
        self._authenticator.stop()
        self._access_log.stop()
        if self._metrics_server:
            self._metrics_server.stop()
        self._sampler.stop()
        self._renewal.stop()
        self._readiness.stop()
        self._purger.stop()
        if self._replicas:
            self._replicas.stop()
        self._database.shut_down()
        self._instruments.stop()


def authenticator(settings: Settings, metrics: OwnMetrics | None = None) -> Authenticator:
    """Returns the authenticator that the settings describe.

    Raises OSError if the issuer's keys are a file that cannot be read.
    """
    issuer, location = settings.issuer or "", settings.jwks or ""
    if settings.development:
        own = development.DevelopmentIssuer(settings.development_folder)
        issuer, location = development.ISSUER, str(own.jwks)
        _log.warning("DEVELOPMENT MODE: anyone who can read %s can be any tenant", own.jwks.parent)
    trust = TrustPolicy(
        issuer,
        settings.audience,
        settings.algorithms,
        settings.tenant_claim,
        settings.clock_skew_seconds,
        settings.scope_claim,
    )
    return Authenticator(trust, key_sets(settings, location), metrics)


def key_sets(settings: Settings, location: str) -> KeySets:
    """Returns the key sets at a location. Raises OSError if it is a file that cannot be read."""
    refresh = RefreshPolicy(
        settings.jwks_lifetime_seconds,
        settings.jwks_cooldown_seconds,
        settings.jwks_stale_seconds,
    )
    if settings.has_realms:

        def fetch(realm: str) -> Keys:
            return jwks.fetch_realm(location.replace(PLACEHOLDER, realm))

        return KeySets(fetch, refresh)
    sets = KeySets(lambda _: jwks.fetch(location), refresh)
    keys = sets.add_one_issuer()
    if "://" not in location:
        keys.fetch_now()
    return sets


def metrics_server(
    settings: Settings, metrics: ServiceMetrics, serves: Callable[[], bool]
) -> "MetricsServer":
    """Returns what answers on METRICS_PORT. Raises OSError if the port is taken."""
    # Workers, whose supervisor has a process for this, need none of it.
    from twc_customer_server.telemetry.exposition import render  # noqa: PLC0415
    from twc_customer_server.telemetry.metrics_server import MetricsServer  # noqa: PLC0415

    return MetricsServer(bind_metrics_port(settings), partial(render, [metrics]), serves)


def bind_metrics_port(settings: Settings) -> socket.socket:
    """Returns a socket that listens on METRICS_PORT. Raises OSError if the port is taken."""
    try:
        return ports.listen(settings.bind, settings.metrics_port)
    except OSError as error:
        address = f"{settings.host}:{settings.metrics_port}"
        raise OSError(ports.cannot_listen(address, "METRICS_PORT", error)) from error
