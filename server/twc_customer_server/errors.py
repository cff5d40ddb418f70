"""The errors of the service, each with a message for the client; `api.status` maps them to gRPC."""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import NamedTuple

EXPIRED = "the token has expired"

# A customer has four unique values; only an atomic upload clashes in more.
_SHOWN_CLASHES = 4


class Violation(NamedTuple):
    """A field that breaks its rule, by its JSON path, and what would be right."""

    field: str
    description: str


class Clash(NamedTuple):
    """A field whose value belongs to another customer of the tenant, and that customer's id."""

    field: str
    customer_id: str


class ServiceError(Exception):
    """A failure with a message for the client, which reveals nothing of the inside."""


class InvalidInput(ServiceError):
    """The request breaks the rules that `violations` name.

    It may break more of them if `is_cut`: the rules stop at a number of violations.
    """

    def __init__(self, violations: Sequence[Violation], *, is_cut: bool = False) -> None:
        first, more = violations[0], len(violations) - 1
        rest = f"and {more} more" if more else ""
        if is_cut:
            rest = f"and at least {more} more" if more else "and perhaps more"
        super().__init__(f"{first.field}: {first.description}" + (f" ({rest})" if rest else ""))
        self.violations = violations
        self.is_cut = is_cut


class MalformedRequest(ServiceError):
    """The bytes of the request are not an encoding of its message."""

    def __init__(self) -> None:
        super().__init__(
            "the request cannot be read: text must be UTF-8, and messages valid Protobuf"
        )


class InvalidTenant(ServiceError):
    """The call names no tenant, or not in the form of a tenant's name."""


class Unauthenticated(ServiceError):
    """The call's bearer token is not valid; the message gives the reason in general terms."""


class NoCredentials(Unauthenticated):
    """The call has no bearer token."""


class TenantForbidden(ServiceError):
    """The call's token is not for the tenant that the call names."""


class ScopeRequired(ServiceError):
    """The call's token is for the tenant, but lacks the scope that the call requires."""

    def __init__(self, scope: str) -> None:
        super().__init__(
            f"the token lacks the scope {scope}, which this call requires: "
            "get a token with it from your issuer"
        )
        self.scope = scope


class NotFound(ServiceError):
    """The tenant has no customer, or the customer no `part`, with the value of a `field`.

    The message does not repeat the value: a reference may be personal data,
    and errors end up in logs.
    """

    def __init__(self, field: str, part: str = "customer") -> None:
        super().__init__(f"ResourceNotFound: no {part} has this {field}")


class AlreadyExists(ServiceError):
    """Values that are unique within the tenant belong to other customers."""

    _problem = "another customer has the same"

    def __init__(self, clashes: Sequence[Clash]) -> None:
        first = clashes[:_SHOWN_CLASHES]
        taken = ", ".join(f"{field} (customer {owner})" for field, owner in first)
        more = len(clashes) - len(first)
        rest = f" (and {more} more)" if more else ""
        super().__init__(f"{self._problem} {taken}{rest}")
        self.clashes = clashes

    def only_owner(self) -> str | None:
        """Returns the id of the customer that has all the values, if it is only one."""
        owner, *others = {clash.customer_id for clash in self.clashes}
        return None if others else owner


class AlreadyMerged(ServiceError):
    """A customer of a merge, which a `field` names, was merged into another one before."""

    def __init__(self, field: str, merged_into: str) -> None:
        super().__init__(
            f"the customer with this {field} was merged already, into customer {merged_into}"
        )
        self.field = field
        self.merged_into = merged_into


class AmbiguousConflict(AlreadyExists):
    """Values of a customer that is to change an existing one belong to several of them."""

    _problem = "no customer was changed, because several have values of this one:"


class NotDeleted(ServiceError):
    """The customer to restore is not deleted (AIP-164)."""

    def __init__(self) -> None:
        super().__init__("the customer with this id is not deleted, and stays as it is")


class IdMismatch(ServiceError):
    """The customer's id is not the one that the request gives as a precondition."""


class EtagMismatch(ServiceError):
    """The customer was changed since the caller read the version that If-Match names."""

    def __init__(self) -> None:
        super().__init__(
            "the customer was changed since it was read: If-Match names another version of it; "
            "read it again"
        )


class CursorExpired(ServiceError):
    """The cursor names a change that the database does not know: it was restored, or is another."""

    def __init__(self) -> None:
        super().__init__(
            "the changes after this cursor are not known, because the database was restored or "
            "replaced: read all customers anew, beginning without a cursor"
        )


class IdempotencyKeyReused(ServiceError):
    """The idempotency key belongs to another request."""

    def __init__(self) -> None:
        super().__init__(
            "this Idempotency-Key was used for another request within 24 hours: "
            "give each request a key of its own"
        )


class RequestTooLarge(ServiceError):
    """The request exceeds a limit on its size."""


class Overloaded(ServiceError):
    """The server already runs, or keeps, as much of this kind as it allows."""

    def __init__(self, message: str, retry_seconds: int = 1) -> None:
        super().__init__(message)
        self.retry_seconds = retry_seconds


class MessageTimeout(ServiceError):
    """The message of the call did not come in time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"the call's message did not come within {seconds:g} s: send it with the headers"
        )


class Unavailable(ServiceError):
    """The database, or the issuer of tokens, cannot be reached or is too busy."""


class OutcomeUnknown(ServiceError):
    """A change may have been made or not, as of a `cause`.

    `remedy` tells what to do where the request may be sent again as it is.
    """

    def __init__(
        self, remedy: str = "", cause: str = "the database was lost while it stored the change"
    ) -> None:
        advice = remedy or (
            "read before you send it again; with an Idempotency-Key it could be sent again safely"
        )
        super().__init__(f"{cause}, and whether it was made is not known: {advice}")
        self.is_repeatable = bool(remedy)


class Stopping(Unavailable):
    """The server stops and has not begun the call, which another server may run."""

    def __init__(self) -> None:
        super().__init__("the server stops, and has not begun the call; try again")


class KeysAwaited(Unavailable):
    """The key that the call's token needs may come with a fetch that is under way.

    `fetched` is done when that has ended, well or not: the call can then be
    authenticated again. `is_proven` tells whether the issuer is known to
    exist, and is not perhaps an invention of the caller.
    """

    def __init__(self, fetched: Future[None], *, is_proven: bool) -> None:
        super().__init__("tokens cannot be verified yet: the issuer's keys are being fetched")
        self.fetched = fetched
        self.is_proven = is_proven


class DatabaseDamaged(ServiceError):
    """The database is damaged, so that the call cannot be served, now or later."""

    def __init__(self) -> None:
        super().__init__(
            "the database is damaged: trying again does not help, the service's operators "
            "must restore it"
        )


class Internal(ServiceError):
    """The server failed; its log has the cause under the request id."""

    def __init__(self) -> None:
        super().__init__(
            "the server failed to answer; its operators find the cause by x-request-id"
        )


def free_frames(error: BaseException | None) -> None:
    """Frees what the frames keep that an error, and those behind it, have passed.

    One of them, or the library that raised it, often refers to the error: without this all that a
    call has read would stay until the garbage collector looks at old objects.
    """
    # Errors can stand behind each other in a ring, as one does that is raised anew where another
    # is handled that was raised from it: one whose frames are freed is the last.
    while error and error.__traceback__:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
