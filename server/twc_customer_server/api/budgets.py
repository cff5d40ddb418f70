"""Bounds what the errors of a list of customers may cost: to find, to keep and to answer."""

from google.rpc import status_pb2

from twc_customer_server.api.status import MAX_DETAILS_BYTES, to_status
from twc_customer_server.customers.fields import MAX_VIOLATIONS
from twc_customer_server.errors import InvalidInput, ServiceError

# Violations of a list that are found for certain: of each customer, and of all.
_SURE_VIOLATIONS = 3
MAX_LIST_VIOLATIONS = 10_000

# Bytes of error details in an answer: of each customer for certain, and of all beyond those.
_SURE_DETAILS_BYTES = 256
MAX_LIST_DETAILS_BYTES = 1 << 20


class ViolationBudget:
    """The number of violations that the rules may find in each customer of a list.

    Once all are used up, each further customer still has a few.
    """

    def __init__(self) -> None:
        self._left = MAX_LIST_VIOLATIONS

    def limit(self) -> int:
        """Returns the number that the rules may find in the next customer."""
        return max(_SURE_VIOLATIONS, min(MAX_VIOLATIONS, self._left))

    def use(self, error: ServiceError) -> None:
        """Counts the violations that an error names."""
        if isinstance(error, InvalidInput):
            self._left -= len(error.violations)


class DetailsBudget:
    """The bytes of error details in an answer with a result for each customer of a list.

    Once all are used up, each further error still has room for a short list.
    """

    def __init__(self, max_item_bytes: int = MAX_DETAILS_BYTES) -> None:
        """`max_item_bytes` is the room for the details of one error."""
        self._max_item_bytes = max_item_bytes
        self._left = MAX_LIST_DETAILS_BYTES

    def to_status(self, error: ServiceError) -> status_pb2.Status:
        """Maps an error to its status, with as many details as there is room for."""
        room = min(self._max_item_bytes, _SURE_DETAILS_BYTES + self._left)
        status = to_status(error, room)
        used = sum(len(detail.value) for detail in status.details)
        self._left -= min(self._left, max(0, used - _SURE_DETAILS_BYTES))
        return status
