"""Commands of the server: `serve`, `settings`, `token`, and administration of its database."""

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import twc_customer_server.process.uncollected  # noqa: F401 - for those that follow
from twc_customer_server.admin import backup
from twc_customer_server.admin.copy import copy_all
from twc_customer_server.admin.distribute import distribute_tables
from twc_customer_server.admin.effective_settings import print_settings
from twc_customer_server.auth.tenants import is_tenant
from twc_customer_server.databases import open_database, open_postgres, open_sqlite
from twc_customer_server.errors import Unavailable
from twc_customer_server.process import interpreter, open_files
from twc_customer_server.process.output import end_with_reader
from twc_customer_server.process.signals import (
    ALL_SIGNALS,
    DRAIN_SIGNAL,
    STOP_SIGNALS,
    STOP_WAITING_SIGNAL,
    wait_for,
)
from twc_customer_server.settings import report
from twc_customer_server.settings.model import Settings
from twc_customer_server.settings.sources import InvalidSettingsError
from twc_customer_server.storage.database import CannotServeError, shut_down_after
from twc_customer_server.storage.migrate import COMMAND
from twc_customer_server.storage.sqlite import Sqlite
from twc_customer_server.storage.sqlite_file import require_database
from twc_customer_server.telemetry import logs

if TYPE_CHECKING:
    from twc_customer_server.app import App

# Time between returns of freed memory, which glibc keeps while anything behind it is used:
# after many large messages that is most of what they took.
_TRIM_SECONDS = 3

# Time between checks of whether the database is open.
_POLL_SECONDS = 0.02

# The options that name a person, and what they are.
_PERSON = {
    "email": "the e-mail address",
    "id": "the customer's id",
    "ref": "the reference, or alternate reference",
    "phone": "the phone number, of either kind",
}


def serve(settings: Settings, addresses: Sequence[str], metrics_memory: int = -1) -> None:
    """Serves on addresses until SIGTERM or SIGINT, then shuts down gracefully.

    From SIGUSR1 on, native clients are told that it does not serve any more,
    and from SIGUSR2 on no call waits for changes.
    `metrics_memory` is the file descriptor of memory to share metrics in.
    Raises CannotServeError.
    """
    from twc_customer_server.app import App  # noqa: PLC0415 - takes what other commands do not need

    interpreter.keep_imports()
    open_files.allow_most()
    logs.configure(settings.log_level)
    interpreter.switch_often()
    # Blocked in every thread, so that this one can wait for them with sigwait.
    signal.pthread_sigmask(signal.SIG_BLOCK, ALL_SIGNALS)
    try:
        app = App(settings, addresses or settings.addresses(), metrics_memory)
    except OSError as error:
        sys.exit(str(error))
    if _open_database(app):
        app.serve()
        interpreter.spare_collector()
        while True:
            received = wait_for(ALL_SIGNALS, _TRIM_SECONDS)
            if received in STOP_SIGNALS:
                break
            if received == DRAIN_SIGNAL:
                app.drain()
            elif received == STOP_WAITING_SIGNAL:
                app.stop_waiting()
            else:
                interpreter.trim_memory()
        app.stop()


def _open_database(app: "App") -> bool:
    """Opens the database; returns False if a signal comes first. Raises CannotServeError.

    A process that still waits for its database may end at once.
    """
    opened: Future[None] = Future()
    threading.Thread(target=_complete, args=(opened, app.open_database), daemon=True).start()
    while not opened.done():
        if wait_for(STOP_SIGNALS, _POLL_SECONDS):
            return False
    opened.result()
    return True


def _complete(future: Future[None], function: Callable[[], None]) -> None:
    try:
        function()
    except BaseException as error:  # noqa: BLE001 - `_open_database` raises it
        future.set_exception(error)
    else:
        future.set_result(None)


def migrate(settings: Settings) -> None:
    """Migrates the database to the newest version, and prints the migrations that were applied.

    Raises CannotServeError.
    """
    with shut_down_after(open_database(settings)) as database:
        applied = database.migrate()
    print(f"migrated: {', '.join(applied)}" if applied else "the database is up to date")  # noqa: T201


def back_up(settings: Settings, file: Path, *, force: bool) -> None:
    """Backs up the SQLite database into a file, and prints what that has.

    Raises CannotServeError.
    """
    with shut_down_after(_sqlite(settings)) as database:
        contents = backup.back_up(database, file, force=force)
    print(f"backed up to {file}, verified: {contents}")  # noqa: T201


def restore(settings: Settings, file: Path) -> None:
    """Restores the SQLite database from a backup, and prints what it has and what to do next.

    Raises CannotServeError.
    """
    path = _sqlite(settings).path
    restored = backup.restore(path, file)
    print(f"restored {path} from {file}, verified: {restored.contents}")  # noqa: T201
    if restored.kept:
        print(f"the database before it is kept: {restored.kept}")  # noqa: T201
    if restored.missing:
        print(  # noqa: T201
            f"it is older than this server ({', '.join(restored.missing)} missing): run {COMMAND} "
            "before you start the service"
        )
    else:
        print("now start the service")  # noqa: T201


def _sqlite(settings: Settings) -> Sqlite:
    """Returns the SQLite database. Raises CannotServeError if PostgreSQL is used instead."""
    if settings.database_url:
        raise CannotServeError(
            "DATABASE_URL is set: use pg_dump and pg_restore (docs/operations.md has the "
            "commands), or unset it to back up or restore the SQLite database"
        )
    return open_sqlite(settings)


def copy(settings: Settings, *, resume: bool) -> None:
    """Copies all data from SQLite to PostgreSQL, and prints the rows and checksum of each table.

    Raises CannotServeError.
    """
    with (
        shut_down_after(open_sqlite(settings)) as source,
        shut_down_after(open_postgres(settings)) as target,
    ):
        copied = copy_all(source, target, resume=resume)
    for table, rows, checksum in copied:
        print(f"{table}: {rows:,} rows, identical in both (SHA-256 {checksum})")  # noqa: T201


def distribute(settings: Settings, shards: int) -> None:
    """Distributes the tables over a Citus cluster. Raises CannotServeError."""
    with shut_down_after(open_postgres(settings)) as database:
        done = distribute_tables(database, shards)
    print(f"distributed by tenant: {', '.join(done)}" if done else "already distributed")  # noqa: T201


def access(settings: Settings, tenant: str, asked: Mapping[str, str]) -> None:
    """Prints all that is held of a person, as JSON. Raises CannotServeError."""
    if not asked:
        sys.exit("name the person: --email, --id, --ref or --phone")
    from twc_customer_server.admin.access import held  # noqa: PLC0415 - loads the rules

    with shut_down_after(open_database(settings)) as database:
        if isinstance(database, Sqlite):
            # An empty one would hold nobody.
            require_database(database.path, "to search")
        database.prepare()
        try:
            found = held(database, tenant, asked, settings.region(tenant))
        except Unavailable as error:
            raise CannotServeError(str(error)) from error
    print(json.dumps(found, ensure_ascii=False, indent=2))  # noqa: T201


def token(settings: Settings, tenant: str) -> None:
    """Prints a development token for a tenant."""
    if not settings.development:
        sys.exit(
            "tokens are issued in development only (DEVELOPMENT=true); get one from your issuer"
        )
    if not is_tenant(tenant):
        sys.exit("a tenant's name has 1 to 64 letters, digits, '.', '_' or '-'")
    from twc_customer_server.auth.development import token_for  # noqa: PLC0415 - loads cryptography

    try:
        made = token_for(settings, tenant)
    except OSError as error:
        sys.exit(str(error))
    print(made)  # noqa: T201


def main() -> None:
    """Runs the command that the arguments name."""
    parser = argparse.ArgumentParser(
        prog="python -m twc_customer_server",
        description="The gRPC server of the Customer API, and the administration of its database.",
        epilog="`settings` lists the settings; docs/settings.md says what they mean.",
    )
    parser.add_argument("--version", action="version", version=version("twc-customer-server"))
    commands = parser.add_subparsers(required=True, title="commands", metavar="COMMAND")
    serving = commands.add_parser("serve", help="serve gRPC until SIGTERM or SIGINT")
    serving.add_argument(
        "addresses",
        nargs="*",
        help="host:port or unix:path; by default BIND with GRPC_PORT, and with UPSTREAM_PORT",
    )
    serving.add_argument(
        "--metrics-fd", type=int, default=-1, metavar="FD", help="shared memory for metrics"
    )
    serving.set_defaults(
        run=lambda settings, args: serve(settings, args.addresses, args.metrics_fd)
    )
    migrating = commands.add_parser("migrate", help="migrate the database to the newest version")
    migrating.set_defaults(run=lambda settings, _: migrate(settings))
    saving = commands.add_parser(
        "backup", help="back up the SQLite database, in use or not, into a file"
    )
    saving.add_argument("file", type=Path, metavar="FILE")
    saving.add_argument("--force", action="store_true", help="overwrite the file if it exists")
    saving.set_defaults(run=lambda settings, args: back_up(settings, args.file, force=args.force))
    restoring = commands.add_parser(
        "restore", help="replace the SQLite database, which no process may use, by a backup"
    )
    restoring.add_argument("file", type=Path, metavar="FILE")
    restoring.set_defaults(run=lambda settings, args: restore(settings, args.file))
    moving = commands.add_parser(
        "copy", help="copy all data from SQLite to PostgreSQL, and compare"
    )
    moving.add_argument("--resume", action="store_true", help="resume an interrupted copy")
    moving.set_defaults(run=lambda settings, args: copy(settings, resume=args.resume))
    spreading = commands.add_parser("distribute", help="distribute the tables over a Citus cluster")
    spreading.add_argument("--shards", type=int, default=32, help="number of shards; by default 32")
    spreading.set_defaults(run=lambda settings, args: distribute(settings, args.shards))
    answering = commands.add_parser("access", help="print all that is held of a person, as JSON")
    answering.add_argument("tenant")
    for option, meaning in _PERSON.items():
        answering.add_argument(f"--{option}", help=meaning)
    answering.set_defaults(
        run=lambda settings, args: access(
            settings, args.tenant, {it: vars(args)[it] for it in _PERSON if vars(args)[it]}
        )
    )
    showing = commands.add_parser(
        "settings", help="print the settings in effect, and where each comes from"
    )
    showing.add_argument("--json", action="store_true", help="print them as JSON")
    making = commands.add_parser("token", help="print a development token")
    making.add_argument("tenant")
    making.set_defaults(run=lambda settings, args: token(settings, args.tenant))
    args = parser.parse_args()
    if "json" in args:
        print_settings(Settings, as_json=args.json)
    else:
        _run(args)


def _run(args: argparse.Namespace) -> None:
    """Runs a command that needs settings which are right."""
    # Files hold personal data and keys: only this user may read them.
    os.umask(0o077)
    is_server = "addresses" in args
    try:
        loaded = report.load(Settings)
        # A supervisor, which shares the memory of metrics, has said it all.
        if is_server and args.metrics_fd < 0:
            from twc_customer_server.settings.checks import check_and_log  # noqa: PLC0415 - loads jwt

            check_and_log(loaded)
    except InvalidSettingsError as error:
        sys.exit(str(error))
    if not is_server:
        interpreter.keep_imports()
        # As Ctrl-C does, so that no half-written file stays.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        args.run(loaded.settings, args)
    except CannotServeError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("interrupted")


if __name__ == "__main__":
    with end_with_reader():
        main()
