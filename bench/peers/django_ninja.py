"""Django with django-ninja, served by Granian over WSGI.

Handlers are synchronous. Over ASGI Django would run them one at a time, in a
thread that each request switches to; over WSGI Granian runs them in its own
threads. Database connections persist (CONN_MAX_AGE), and transactions that write
begin with BEGIN IMMEDIATE.
"""

import functools
import logging
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels

from bench.peers import command, table
from bench.peers.table import PRAGMA_STATEMENTS, THREADS


def _configure(path: Path) -> None:
    """Configures Django, which must happen before its models are imported."""
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": path,
                "CONN_MAX_AGE": None,
                "OPTIONS": {
                    "transaction_mode": "IMMEDIATE",
                    "init_command": "; ".join(PRAGMA_STATEMENTS),
                },
            }
        },
        DEBUG=False,
        LOGGING_CONFIG=None,
        MIDDLEWARE=["bench.peers.django_app.telemetry"],
        ROOT_URLCONF="bench.peers.django_app",
    )
    django.setup()
    # It would log every error response a second time.
    logging.getLogger("django.request").setLevel(logging.ERROR)


def seed(path: Path, tenant: str, batches: command.Batches) -> None:
    """Creates a database with customers."""
    _configure(path)
    from django.db import connection, transaction

    from bench.peers.django_model import Customer

    with connection.schema_editor() as editor:
        editor.create_model(Customer)
    for batch in batches:
        with transaction.atomic():
            Customer.objects.bulk_create(Customer(**table.to_row(tenant, each)) for each in batch)


def _application(path: Path) -> Any:
    _configure(path)
    from bench.peers.django_app import application

    return application


def serve(path: Path, port: int) -> None:
    """Serves a database until SIGTERM."""
    server = Granian(
        "bench.peers.django_app:application",
        port=port,
        interface=Interfaces.WSGI,
        blocking_threads=THREADS,
        http=HTTPModes.http1,
        websockets=False,
        log_level=LogLevels.error,
    )
    server.serve(target_loader=functools.partial(_application, path), wrap_loader=False)


if __name__ == "__main__":
    command.run(command.Peer("django_ninja", seed, serve))
