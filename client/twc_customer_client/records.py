"""A customer in a file, before it is known whether it is one."""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from twc_customer_client.problems import Reason


class Record(NamedTuple):
    """A row of a table or an item of JSON.

    `number` grows from record to record; `line` is where it stands, `end` how
    many bytes there are up to its end. `original` is what goes to the rejects,
    `value` the JSON of a customer, and `reasons` say why there is none.
    """

    number: int
    line: int
    end: int
    original: Any
    value: Any
    reasons: tuple[Reason, ...] = ()


class Source(Protocol):
    """A file of customers."""

    def records(self) -> Iterator[Record]:
        """Reads the file to its end. Raises Refused."""
