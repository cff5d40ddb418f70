"""Commands of the server: `serve`, `migrate`, `copy`, `distribute`, `token`."""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from pydantic import ValidationError

from twc_customer_server.admin.copy import copy_all
from twc_customer_server.admin.distribute import distribute as spread
from twc_customer_server.app import App, open_database, open_postgres, open_sqlite
from twc_customer_server.auth.authenticator import is_tenant
from twc_customer_server.auth.development import DevelopmentIssuer
from twc_customer_server.settings import Settings
from twc_customer_server.storage.database import CannotServeError, shut_down_after
from twc_customer_server.telemetry import logs

_STOP = (signal.SIGTERM, signal.SIGINT)

# How soon a database that came is noticed.
_LOOK_SECONDS = 0.02


def serve(settings: Settings, addresses: Sequence[str], memory: int = -1) -> None:
    """Serves on addresses until a signal comes and running calls have ended.

    Calls are counted in memory of `metrics.share`, if that is given. Raises
    CannotServeError.
    """
    logs.configure(settings.log_level)
    # Blocked in every thread that starts from here, so that this one can wait
    # for them: a handler might run in a thread that wakes nobody.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)
    try:
        app = App(settings, addresses or [settings.native_address], memory)
    except OSError as error:
        sys.exit(str(error))
    if _is_prepared(app):
        app.serve()
        signal.sigwait(_STOP)
        app.stop()


def _is_prepared(app: App) -> bool:
    """Prepares an app, and tells whether no signal came before. Raises CannotServeError.

    A process that still waits for its database has nothing that it would have
    to end.
    """
    prepared: Future[None] = Future()
    threading.Thread(target=_settle, args=(prepared, app.prepare), daemon=True).start()
    while not prepared.done():
        if signal.sigtimedwait(_STOP, _LOOK_SECONDS):
            return False
    prepared.result()
    return True


def _settle(future: Future[None], work: Callable[[], None]) -> None:
    try:
        work()
    except BaseException as error:  # noqa: BLE001 - whoever waits is to have it
        future.set_exception(error)
    else:
        future.set_result(None)


def migrate(settings: Settings) -> None:
    """Brings the database to the newest version, and says what that took.

    Raises CannotServeError.
    """
    with shut_down_after(open_database(settings)) as database:
        taken = database.migrate()
    print(f"migrated: {', '.join(taken)}" if taken else "the database is up to date")  # noqa: T201


def copy(settings: Settings, *, resume: bool) -> None:
    """Copies everything from SQLite to PostgreSQL, and says what is the same in both.

    Raises CannotServeError.
    """
    with (
        shut_down_after(open_sqlite(settings)) as source,
        shut_down_after(open_postgres(settings)) as target,
    ):
        copied = copy_all(source, target, resume=resume)
    for table, rows, checksum in copied:
        print(f"{table}: {rows:,} rows, the same in both (SHA-256 {checksum})")  # noqa: T201


def distribute(settings: Settings, shards: int) -> None:
    """Spreads the tables over the machines of a Citus cluster. Raises CannotServeError."""
    with shut_down_after(open_postgres(settings)) as database:
        done = spread(database, shards)
    print(f"distributed by tenant: {', '.join(done)}" if done else "already distributed")  # noqa: T201


def token(settings: Settings, tenant: str) -> None:
    """Prints a token of development for a tenant."""
    if not settings.development:
        sys.exit("tokens are made in development only (DEVELOPMENT=true); ask your issuer for one")
    if not is_tenant(tenant):
        sys.exit("a tenant's name has 1 to 64 letters, digits, '.', '_' or '-'")
    issuer = DevelopmentIssuer(settings.development_folder)
    print(issuer.token(tenant, settings.audience, settings.tenant_claim))  # noqa: T201


def main() -> None:
    """Runs the command that the arguments name."""
    parser = argparse.ArgumentParser(prog="python -m twc_customer_server")
    commands = parser.add_subparsers(required=True)
    serving = commands.add_parser("serve", help="serve gRPC until SIGTERM or SIGINT")
    serving.add_argument("addresses", nargs="*", help="host:port or unix:path; BIND and GRPC_PORT")
    serving.add_argument(
        "--counts", type=int, default=-1, metavar="FD", help="shared memory to count calls in"
    )
    serving.set_defaults(run=lambda settings, args: serve(settings, args.addresses, args.counts))
    migrating = commands.add_parser("migrate", help="bring the database to the newest version")
    migrating.set_defaults(run=lambda settings, _: migrate(settings))
    moving = commands.add_parser(
        "copy", help="copy all data from SQLite to PostgreSQL, and compare"
    )
    moving.add_argument("--resume", action="store_true", help="go on with a copy broken off")
    moving.set_defaults(run=lambda settings, args: copy(settings, resume=args.resume))
    spreading = commands.add_parser("distribute", help="spread the tables over a Citus cluster")
    spreading.add_argument("--shards", type=int, default=32, help="parts to spread; 32")
    spreading.set_defaults(run=lambda settings, args: distribute(settings, args.shards))
    making = commands.add_parser("token", help="print a token of development")
    making.add_argument("tenant")
    making.set_defaults(run=lambda settings, args: token(settings, args.tenant))
    args = parser.parse_args()
    # What is written is personal data and keys: for this user alone.
    os.umask(0o077)
    try:
        settings = Settings()
    except ValidationError as error:
        sys.exit(explain(error))
    try:
        args.run(settings, args)
    except CannotServeError as error:
        sys.exit(str(error))


def explain(error: ValidationError) -> str:
    """Says what is wrong with settings, by the names of their environment variables."""
    return "\n".join(
        ": ".join(
            [
                *(str(place).upper() for place in wrong["loc"]),
                wrong["msg"].removeprefix("Value error, "),
            ]
        )
        for wrong in error.errors(include_url=False, include_input=False)
    )


if __name__ == "__main__":
    main()
