"""Django with django-ninja, served by granian over WSGI.

Handlers are plain functions. Over ASGI Django would run them one at a time, in
a thread that each request has to change to; over WSGI granian runs them in
threads of its own. Connections to the database persist (CONN_MAX_AGE), and what
writes begins its transaction with BEGIN IMMEDIATE.
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

from bench.peers import command, records
from bench.peers.sqlite import STATEMENTS, THREADS


def _configure(path: Path) -> None:
    """Tells Django its settings, which it wants to know before its models are imported."""
    settings.configure(
        ALLOWED_HOSTS=["127.0.0.1"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": path,
                "CONN_MAX_AGE": None,
                "OPTIONS": {
                    "transaction_mode": "IMMEDIATE",
                    "init_command": "; ".join(STATEMENTS),
                },
            }
        },
        DEBUG=False,
        LOGGING_CONFIG=None,
        MIDDLEWARE=["bench.peers.django_app.telemetry"],
        ROOT_URLCONF="bench.peers.django_app",
    )
    django.setup()
    # It would tell of every refusal a second time.
    logging.getLogger("django.request").setLevel(logging.ERROR)


def seed(path: Path, tenant: str, batches: command.Batches) -> None:
    """Fills a database file."""
    _configure(path)
    from django.db import connection, transaction

    from bench.peers.django_model import Customer

    with connection.schema_editor() as editor:
        editor.create_model(Customer)
    for batch in batches:
        with transaction.atomic():
            Customer.objects.bulk_create(Customer(**records.values(tenant, each)) for each in batch)


def _application(path: Path) -> Any:
    _configure(path)
    from bench.peers.django_app import application

    return application


def serve(path: Path, port: int) -> None:
    """Serves a database file."""
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
