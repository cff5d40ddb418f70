"""Opens the databases that the settings name."""

from collections.abc import Callable
from typing import NamedTuple

from twc_customer_server.settings.model import Settings
from twc_customer_server.storage.database import Database
from twc_customer_server.storage.postgres import Postgres
from twc_customer_server.storage.replica import Replica
from twc_customer_server.storage.replicas import Replicas
from twc_customer_server.storage.sqlite import Sqlite
from twc_customer_server.storage.sqlite_errors import explained
from twc_customer_server.telemetry.metrics import OwnMetrics


class Engines(NamedTuple):
    """Makes databases of each kind."""

    sqlite: Callable[..., Sqlite]
    postgres: Callable[..., Postgres]
    replica: Callable[..., Replica]


ENGINES = Engines(Sqlite, Postgres, Replica)


def open_database(
    settings: Settings, metrics: OwnMetrics | None = None, engines: Engines = ENGINES
) -> Database:
    """Returns PostgreSQL if DATABASE_URL is set, else SQLite.

    Raises what `open_postgres` and `open_sqlite` raise.
    """
    open_one = open_postgres if settings.database_url else open_sqlite
    return open_one(settings, metrics, engines)


def open_postgres(
    settings: Settings, metrics: OwnMetrics | None = None, engines: Engines = ENGINES
) -> Postgres:
    """Returns the database of DATABASE_URL. Raises CannotServeError if that is unset or invalid."""
    return engines.postgres(
        settings.database_url or "",
        settings.database_pool_size,
        settings.database_timeout_seconds,
        settings.database_wait_seconds,
        metrics,
        settings.threads,
    )


def open_replicas(
    settings: Settings, primary: Database, engines: Engines = ENGINES
) -> Replicas | None:
    """Returns the replicas of DATABASE_READ_URLS, None if there are none.

    Raises CannotServeError if a URL is invalid.
    """
    if not (settings.database_read_urls and isinstance(primary, Postgres)):
        return None
    replicas = [
        engines.replica(
            url,
            settings.database_pool_size,
            settings.database_timeout_seconds,
            settings.database_read_max_lag_seconds,
            primary.metrics,
            settings.threads,
        )
        for url in settings.database_read_urls
    ]
    return Replicas(primary, replicas)


def open_sqlite(
    settings: Settings, metrics: OwnMetrics | None = None, engines: Engines = ENGINES
) -> Sqlite:
    """Returns the database in DATA_DIR.

    Raises CannotServeError if the folder cannot be created.
    """
    path = settings.database_file
    with explained(path):
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return engines.sqlite(path, metrics)
