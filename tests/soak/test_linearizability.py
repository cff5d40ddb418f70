"""The checker of histories: it accepts those of a register, and refuses what none would do."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.soak.linearizability import Impossible, Operation, unexplained
from tests.support.steps import EXAMPLES

# An act is what was written, or the number that was read.
Act = tuple[str, int]


def _step(act: Act, state: int) -> int:
    kind, number = act
    if kind == "read" and number != state:
        raise Impossible
    return number


def _write(number: int, called: float, returned: float = math.inf) -> Operation[Act]:
    return Operation(("write", number), called, returned)


def _read(number: int, called: float, returned: float = math.inf) -> Operation[Act]:
    return Operation(("read", number), called, returned)


GOOD = {
    "nothing": [],
    "one after another": [_write(1, 0, 1), _read(1, 2, 3), _write(2, 4, 5), _read(2, 6, 7)],
    "read of a write under way": [_write(1, 0, 9), _read(1, 1, 2), _read(1, 3, 4)],
    "read before a write under way": [_write(1, 0, 9), _read(0, 1, 2), _read(1, 3, 4)],
    "writes in the other order": [_write(1, 0, 9), _write(2, 1, 2), _read(1, 3, 4)],
    "unknown write that was made": [_write(1, 0), _read(0, 1, 2), _read(1, 5, 6)],
    "unknown write that was not made": [_write(1, 0), _read(0, 1, 2), _read(0, 5, 6)],
    "unknown write that was made late": [
        _write(1, 0),
        _write(2, 1, 2),
        _read(2, 3, 4),
        _read(1, 5, 6),
    ],
}
BAD = {
    "read of nothing written": [_write(1, 0, 1), _read(2, 2, 3)],
    "stale read": [_write(1, 0, 1), _write(2, 2, 3), _read(1, 4, 5)],
    "lost write": [_write(1, 0, 1), _read(0, 2, 3)],
    "read that goes back": [_write(1, 0, 9), _read(1, 1, 2), _read(0, 3, 4)],
    "two readers that disagree": [
        _write(1, 0, 9),
        _write(2, 0, 9),
        _read(1, 10, 11),
        _read(2, 12, 13),
    ],
    "unknown write seen before it": [_read(1, 0, 1), _write(1, 2)],
    "unknown write that comes and goes": [_write(1, 0), _read(1, 1, 2), _read(0, 3, 4)],
    "unknown write that is made twice": [
        _write(1, 0),
        _read(1, 1, 2),
        _write(2, 3, 4),
        _read(1, 5, 6),
    ],
}


@pytest.mark.parametrize("history", GOOD.values(), ids=GOOD)
def test_good_history(history: list[Operation[Act]]) -> None:
    """A history that some order of its calls explains is accepted, however it is noted."""
    assert unexplained(history, 0, _step) is None
    assert unexplained(history[::-1], 0, _step) is None


@pytest.mark.parametrize("history", BAD.values(), ids=BAD)
def test_bad_history(history: list[Operation[Act]]) -> None:
    """A history that no order of its calls explains is refused, with a call that does not fit."""
    assert unexplained(history, 0, _step) in history
    assert unexplained(history[::-1], 0, _step) in history


@st.composite
def _histories(draw: st.DrawFn) -> list[Operation[Act]]:
    """Calls that took effect one after another, noted with times around that."""
    state, history = 0, []
    for moment in range(draw(st.integers(1, 30))):
        called = moment - draw(st.floats(0, 4))
        returned = moment + draw(st.floats(0, 4))
        if draw(st.booleans()):
            state = moment + 1
            is_known = draw(st.integers(0, 4)) > 0
            history.append(_write(state, called, returned if is_known else math.inf))
        else:
            history.append(_read(state, called, returned))
    return history


@EXAMPLES
@given(_histories())
def test_history_of_a_register(history: list[Operation[Act]]) -> None:
    """Whatever a register does is accepted."""
    assert unexplained(history, 0, _step) is None


@EXAMPLES
@given(_histories(), st.data())
def test_history_with_a_wrong_read(history: list[Operation[Act]], data: st.DataObject) -> None:
    """A read of what was never written is refused, wherever it is."""
    position = data.draw(st.integers(0, len(history)))
    history.insert(position, _read(-1, position, position + 0.5))
    assert unexplained(history, 0, _step)
