"""Serves the Customer API: `python -m twc_customer_gateway`, until Ctrl-C or SIGTERM."""

import shlex
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

from pydantic import ValidationError

from twc_customer_gateway.config import GatewaySettings
from twc_customer_gateway.supervisor.stack import Stack, StackError
from twc_customer_server.settings import describe_errors
from twc_customer_server.telemetry import logs

READY = """
The Customer API is ready: REST, gRPC and gRPC-Web on {gateway}, gRPC on {native}.
Data is kept in {data}. Ctrl-C stops.
"""
DEVELOPMENT = """
*** DEVELOPMENT MODE: whoever can run `make token` on this machine can be any tenant. ***
*** Serve real customers with ISSUER and JWKS set; the README says how.              ***

Try, in another terminal:

  TOKEN=$(make -s token TENANT=acme)

  curl -s -X POST http://{gateway}/api/v2/customers \\
    -H "Authorization: Bearer $TOKEN" -H 'X-TWC-Tenant: acme' \\
    -H 'Content-Type: application/json' -d '{{"email": "ada@example.com", "firstName": "Ada"}}'

  {buf} curl --protocol grpc --http2-prior-knowledge \\
    -H "Authorization: Bearer $TOKEN" -H 'X-TWC-Tenant: acme' \\
    -d '{{"email": "ada@example.com"}}' \\
    http://{native}/twc.customer.v2.CustomerService/LookupCustomers
"""


class _Stopped(Exception):
    pass


def main() -> None:
    """Starts everything, says how to try it, and stops everything when told to."""
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    try:
        settings = GatewaySettings()
    except ValidationError as error:
        sys.exit(describe_errors(error))
    logs.configure(settings.log_level)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="twc-") as folder,
            Stack(settings, Path(folder)) as stack,
        ):
            print(_ready(stack.settings), flush=True)  # noqa: T201 - for the terminal
            stack.wait()
    except _Stopped:
        return
    except StackError as error:
        sys.exit(f"The Customer API stopped: {error}")


def _stop(_signal: int, _frame: FrameType | None) -> None:
    # A second signal does not wait for running calls.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    raise _Stopped


def _ready(settings: GatewaySettings) -> str:
    buf = Path(sys.executable).with_name("buf")
    if buf.is_relative_to(Path.cwd()):
        buf = buf.relative_to(Path.cwd())
    text = READY + DEVELOPMENT if settings.development else READY
    return text.format(
        gateway=f"{settings.host}:{settings.gateway_port}",
        native=settings.native_address,
        data=settings.data_dir,
        buf=shlex.quote(str(buf)),
    )


if __name__ == "__main__":
    main()
