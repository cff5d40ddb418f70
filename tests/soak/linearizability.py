"""Decides whether a history of calls that overlap could have come about one call after another.

A search over the orders that the calls' times admit (Wing and Gong), which visits each set of
calls that were made, with the state that they lead to, once (Lowe).
"""

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, NamedTuple, TypeVar

A = TypeVar("A")
S = TypeVar("S", bound=Hashable)


class Operation(NamedTuple, Generic[A]):
    """A call: what it did, or may have done, and when it was made and answered.

    What was not answered is answered never: it may take effect at any later time, or not at all.
    """

    act: A
    called: float
    returned: float = math.inf


class Impossible(Exception):
    """A call cannot have had its outcome in a state."""


# Returns the state after a call in a state. Raises Impossible.
Step = Callable[[A, S], S]


def unexplained(
    history: Sequence[Operation[A]], initial: S, step: Step[A, S]
) -> Operation[A] | None:
    """Returns a call that no order explains, after the longest part that one does; or None."""
    calls = sorted(history, key=lambda it: it.called)
    answered = sum(1 << number for number, it in enumerate(calls) if it.returned < math.inf)
    # Which calls were made, as bits, and the state then.
    open_: list[tuple[int, S]] = [(0, initial)]
    seen = {*open_}
    longest, last = -1, None
    while open_:
        made, state = open_.pop()
        if made & answered == answered:
            return None
        next_calls = _next(calls, made)
        if made.bit_count() > longest:
            longest = made.bit_count()
            last = min((calls[it] for it in next_calls), key=lambda it: it.returned)
        for number in next_calls:
            try:
                reached = made | 1 << number, step(calls[number].act, state)
            except Impossible:
                continue
            if reached not in seen:
                seen.add(reached)
                open_.append(reached)
    return last


def _next(calls: Sequence[Operation[A]], made: int) -> list[int]:
    """Returns the calls that may be next: none that was not made had returned before they began."""
    found: list[int] = []
    returned = math.inf
    for number in range((~made & (made + 1)).bit_length() - 1, len(calls)):
        if made >> number & 1:
            continue
        if calls[number].called > returned:
            break
        returned = min(returned, calls[number].returned)
        found.append(number)
    return found
