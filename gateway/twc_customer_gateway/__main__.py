"""Commands of the whole service: run it (without arguments), or show how it would run.

The process that runs the service is long-lived, so it loads as little as
possible: a child process reads the settings and writes the configuration.
"""

import argparse
import gc
import os
import shlex
import signal
import sys
from functools import partial
from pathlib import Path

from twc_customer_gateway.supervisor.processes import Process, stop
from twc_customer_gateway.supervisor.run_folder import remove, run_folder
from twc_customer_gateway.supervisor.stack import Stack, StackError
from twc_customer_gateway.supervisor.stack_settings import StackSettings
from twc_customer_server.process import open_files
from twc_customer_server.process.output import end_with_reader
from twc_customer_server.process.signals import STOP_SIGNALS
from twc_customer_server.telemetry import logs

READY = """
The Customer API is ready: REST, gRPC and gRPC-Web on {gateway}, gRPC on {native}.
Data is stored in {data}. Ctrl-C stops.
"""
READY_APART = """
The gateway of the Customer API is ready: REST, gRPC and gRPC-Web on {gateway}.
Its servers are {upstreams}. Ctrl-C stops.
"""
DEVELOPMENT = """
*** DEVELOPMENT MODE: anyone who can run `make token` on this machine can be any tenant. ***
*** For real customers set ISSUER and JWKS: see docs/authentication.md.               ***

Try it {page}in another terminal.
`make demo` fills the tenant demo with customers.

  TOKEN=$(make -s token TENANT=acme)

  curl -s -X POST http://{gateway}/api/v2/customers \\
    -H "Authorization: Bearer $TOKEN" -H 'X-TWC-Tenant: acme' \\
    -H 'Content-Type: application/json' -d '{{"email": "ada@example.com", "firstName": "Ada"}}'

  {buf} curl --protocol grpc --http2-prior-knowledge \\
    -H "Authorization: Bearer $TOKEN" -H 'X-TWC-Tenant: acme' \\
    -d '{{"email": "ada@example.com"}}' \\
    http://{native}/twc.customer.v2.CustomerService/LookupCustomers
"""
STOPPING = "The Customer API is stopping; Ctrl-C again does not wait for calls in progress."

_POLL_SECONDS = 0.01
_KILL_SECONDS = 5


class _Stopped(Exception):
    """SIGTERM or SIGINT asked the service to stop."""


def main() -> None:
    """Runs the command that the arguments name."""
    parser = argparse.ArgumentParser(
        prog="python -m twc_customer_gateway",
        description="Serve the Customer API by gRPC and REST until Ctrl-C or SIGTERM.",
        epilog="`settings` lists the settings; docs/settings.md says what they mean.",
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND")
    configuring = commands.add_parser(
        "config", help="write the configuration of Envoys that others start, and do not serve"
    )
    configuring.add_argument("folder", type=Path, help="folder to write it into")
    configuring.add_argument(
        "--mount",
        default=".",
        metavar="PATH",
        help="the folder as Envoy will see it; by default Envoy is started in it",
    )
    configuring.add_argument(
        "--run",
        default=".",
        metavar="PATH",
        help="folder of the socket between the Envoys, which both can write to; by default the "
        "one that they are started in",
    )
    configuring.add_argument(
        "--admin-port",
        type=int,
        default=9901,
        metavar="PORT",
        help="port of the administration of the first Envoy, on the loopback address; that of the "
        "second one follows; by default 9901",
    )
    for internal in ("--for-start", "--renew"):
        configuring.add_argument(internal, action="store_true", help=argparse.SUPPRESS)
    configuring.add_argument("--again", type=int, default=0, help=argparse.SUPPRESS)
    showing = commands.add_parser(
        "settings", help="print the settings in effect, and where each comes from"
    )
    showing.add_argument("--json", action="store_true", help="print them as JSON")
    args = parser.parse_args()
    if args.command or args.version:
        _run_command(args)
    else:
        run()


def _run_command(args: argparse.Namespace) -> None:
    """Runs a command that imports packages which the supervisor does without, and ends soon."""
    # It imports much, all of which stays, and ends before it has made much else.
    gc.disable()
    if args.version:
        from importlib.metadata import version  # noqa: PLC0415

        print(version("twc-customer-server"))  # noqa: T201
    elif args.command == "config":
        from twc_customer_gateway import configuring, renewing  # noqa: PLC0415

        if args.renew:
            renewing.renew(args.folder, args.again)
        elif args.for_start:
            configuring.write_for_start(args.folder)
        else:
            configuring.write_plain(
                args.folder, mount=args.mount, run=args.run, admin_port=args.admin_port
            )
    else:
        from twc_customer_gateway.settings import GatewaySettings  # noqa: PLC0415
        from twc_customer_server.admin.effective_settings import print_settings  # noqa: PLC0415

        print_settings(GatewaySettings, as_json=args.json)


def run() -> None:
    """Serves until a signal comes, then stops everything."""
    # Only `_pause` receives them, so that none interrupts the start of a process or a stop.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    open_files.allow_most()
    try:
        with run_folder() as folder:
            signal.signal(signal.SIGINT, partial(_end_at_once, folder, os.getpid()))
            _configure(folder)
            with Stack(folder, pause=_pause) as stack:
                print(_ready(stack.settings), flush=True)  # noqa: T201 - for the terminal
                stack.wait()
    except _Stopped:
        return
    except StackError as error:
        sys.exit(f"The Customer API stopped: {error}")


def _end_at_once(folder: Path, owner: int, number: int, _: object) -> None:
    """Ends this process, and with it all others, by the signal that it got."""
    # Not in a child that has not begun its program.
    if os.getpid() == owner:
        remove(folder)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _configure(folder: Path) -> None:
    """Writes the configuration in a child process, which prints what is wrong with settings."""
    command = [sys.executable, "-m", "twc_customer_gateway", "config", "--for-start", str(folder)]
    child = Process("configuration", command, {})
    child.start()
    try:
        while child.is_running:
            _pause(_POLL_SECONDS)
    finally:
        stop([child], _KILL_SECONDS)
    if child.status == 1:
        sys.exit(1)
    if child.status:
        raise StackError(child.exit_message)
    logs.configure(StackSettings.read(folder).log_level)


def _pause(seconds: float) -> None:
    """Waits for a time. Raises _Stopped at once if a signal asks the service to stop."""
    if signal.sigtimedwait(STOP_SIGNALS, seconds):
        print(STOPPING, flush=True)  # noqa: T201 - for the terminal
        # Another Ctrl-C ends all at once. Another SIGTERM stays blocked: make forwards its
        # own even if the whole process group has got one.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        raise _Stopped


def _ready(settings: StackSettings) -> str:
    buf = Path(sys.executable).with_name("buf")
    if buf.is_relative_to(Path.cwd()):
        buf = buf.relative_to(Path.cwd())
    text = READY + DEVELOPMENT if settings.development else READY
    page = f"in a browser, on http://{settings.gateway_address}/docs, or " if settings.docs else ""
    text = READY_APART if settings.upstreams else text
    return text.format(
        gateway=settings.gateway_address,
        native=settings.native_address,
        data=settings.data,
        page=page,
        upstreams=", ".join(settings.upstreams),
        buf=shlex.quote(str(buf)),
    )


if __name__ == "__main__":
    with end_with_reader():
        main()
