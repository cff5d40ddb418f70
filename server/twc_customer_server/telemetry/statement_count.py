"""Counts the statements of a traced call, of which only the first ones have spans.

A call may run for hours, and run a statement for each of its customers.
"""

from opentelemetry.context import Context, create_key, get_value, set_value

# Statements of one call that have spans, at most.
MOST = 100

_KEY = create_key("statement-count")


class StatementCount:
    """The number of statements that a call has run."""

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 0

    def count(self) -> bool:
        """Counts a statement; tells whether it may have a span."""
        self.number += 1
        return self.number <= MOST


def counting(context: Context) -> tuple[Context, StatementCount]:
    """Returns a context in which statements are counted, and their count."""
    count = StatementCount()
    return set_value(_KEY, count, context), count


def current() -> StatementCount | None:
    """Returns the count of the call that this thread runs, if it does."""
    count = get_value(_KEY)
    return count if isinstance(count, StatementCount) else None
