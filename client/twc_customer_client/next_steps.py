"""Tells why the service cannot be reached, and what to do about a failed call."""

from typing import NamedTuple

from twc_customer_client import errors
from twc_customer_client.credentials import TokenError
from twc_customer_client.errors import CustomerError


class _Problem(NamedTuple):
    """A text of gRPC's message, what it means, and what to do."""

    text: str
    meaning: str
    next_step: str


_SET_SERVER = "set --server or TWC_SERVER to the host and gRPC port of server or gateway"
_SEE_NETWORK = f"see to the network and its firewalls, or {_SET_SERVER}"
_SET_TLS = (
    "if the service requires TLS, use --tls or --ca, and --cert and --key if it asks for them"
)

# How gRPC's messages begin if there is no connection; it has no codes for the causes.
_NOT_CONNECTED = ("failed to connect", "errors resolving")
_UNKNOWN = _Problem("", "there is no connection", _SEE_NETWORK)

# By the first text that is found.
_UNREACHABLE = (
    _Problem("Connection refused", "connection refused", f"start the service, or {_SET_SERVER}"),
    _Problem("Failed to parse port", "the port is no number", _SET_SERVER),
    _Problem("resolving http", "this is no address", f"{_SET_SERVER}, without http:// or https://"),
    _Problem("lookup failed", "the name is not found", f"correct the name: {_SET_SERVER}"),
    _Problem("http1.x server", "it answers in HTTP/1, not gRPC", _SET_SERVER),
    _Problem(
        "WRONG_VERSION_NUMBER",
        "it does not speak TLS",
        "leave out --tls, --ca and --cert, and unset TWC_TLS, TWC_CA and TWC_CERT; or "
        + _SET_SERVER,
    ),
    _Problem(
        "CERTIFICATE_VERIFY_FAILED",
        "its certificate is not trusted",
        "name the file of the authority that issued it, by --ca or TWC_CA",
    ),
    _Problem(
        "Hostname Verification",
        "its certificate is for another name",
        "set --server or TWC_SERVER to a name that the certificate has",
    ),
    _Problem(
        "security handshaker",
        "the files of TLS cannot be used",
        "give PEM files: certificates to --ca and --cert, the private key to --key",
    ),
    _Problem("Tls handshake failed", "the TLS handshake failed", _SET_TLS),
    _Problem("Socket closed", "it closed the connection", _SET_TLS),
    _Problem("reset by peer", "it closed the connection", _SET_TLS),
    _Problem("timed out", "it does not answer", _SEE_NETWORK),
    _Problem("unreachable", "there is no way to it", _SEE_NETWORK),
    _Problem("No route to host", "there is no way to it", _SEE_NETWORK),
)

_LOOK_UP = "find customers by `twc-customers lookup`, such as lookup --email ada@example.com"
_RENEW = (
    "get a new token, and set TWC_TOKEN or --token-file; `twc-customers token --inspect` shows the "
    "present one's claims"
)
_REPEAT = (
    "see by `twc-customers get` or lookup whether the change was made, or repeat the command with "
    "the same --idempotency-key"
)
_ASK_OPERATORS = "ask those who run the service"

# By the most particular class of an error.
_NEXT_STEPS: dict[type[CustomerError], str] = {
    errors.MalformedRequest: "see `twc-customers --version`: is the service older?",
    errors.InvalidTenant: "set --tenant or TWC_TENANT",
    errors.RequestTooLarge: "give less at once: many customers are for `twc-customers import`",
    errors.IdempotencyKeyReused: "use another --idempotency-key, or repeat the first command",
    errors.InvalidArgument: "correct what is wrong, and run the command again",
    errors.NotFound: _LOOK_UP,
    errors.AlreadyExists: "see `twc-customers get ID` of the other, and change it by `update`, or "
    "make one of both by `merge`",
    errors.NotDeleted: "nothing is to be done: `twc-customers get ID` prints the customer",
    errors.AlreadyMerged: "see `twc-customers get ID` of the customer that was kept",
    errors.IdMismatch: _LOOK_UP,
    errors.CursorExpired: "begin anew, without --cursor or --since and without the cursor file",
    errors.EtagMismatch: "see what it is now, and repeat with the new tag: "
    "`twc-customers get ID --etag` prints it",
    errors.TenantForbidden: "set --tenant or TWC_TENANT to the token's tenant, which "
    "`twc-customers token --inspect` shows, or use another token",
    errors.ScopeRequired: "get a token with that scope: set --scope for client credentials, or ask "
    "the issuer for it",
    errors.PermissionDenied: _RENEW,
    TokenError: "set TWC_TOKEN or --token-file, or see to --issuer, --token-url and --client-id",
    errors.Unauthenticated: _RENEW,
    errors.RateLimited: "try again later, and not as often",
    errors.Unavailable: "try again later; --retry-for goes on trying for longer",
    errors.DeadlineExceeded: "wait for longer with --timeout; if it was to change something, "
    + _REPEAT,
    errors.OutcomeUnknown: _REPEAT,
    errors.Unimplemented: f"{_SET_SERVER}; is the service older than this client?",
    errors.DatabaseDamaged: f"{_ASK_OPERATORS}: they must restore the database",
    CustomerError: _ASK_OPERATORS,
}


def unreachable(error: CustomerError, server: str) -> str:
    """Returns that the service cannot be reached, and why; empty if it was reached."""
    problem = _problem(error)
    return f"cannot reach {server}: {problem.meaning}" if problem else ""


def next_step(error: CustomerError) -> str:
    """Returns what somebody at the command line can do about a failed call."""
    if problem := _problem(error):
        return problem.next_step
    step = next(_NEXT_STEPS[kind] for kind in type(error).__mro__ if kind in _NEXT_STEPS)
    if step.startswith(_ASK_OPERATORS) and error.request_id:
        step += f", who find the call in the logs by its request id {error.request_id}"
    return step


def _problem(error: CustomerError) -> _Problem | None:
    # A connection that breaks within a call closes its socket as well.
    if not error.message.startswith(_NOT_CONNECTED):
        return None
    return next((each for each in _UNREACHABLE if each.text in error.message), _UNKNOWN)
