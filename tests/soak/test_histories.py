"""The model of a customer: which outcome a call may have in a state, and what it makes of it."""

import pytest

from tests.soak.histories import DONE, EXISTS, MISMATCH, MISSING, UNKNOWN, Act, State, step
from tests.soak.linearizability import Impossible

# A call, the state before, and the state after.
POSSIBLE: dict[str, tuple[Act, State, State]] = {
    "create": (Act("create", DONE, "b"), None, "b"),
    "create of what exists": (Act("create", EXISTS, "b"), "a", "a"),
    "read": (Act("read", DONE, "a"), "a", "a"),
    "read of nothing": (Act("read", MISSING), None, None),
    "update": (Act("update", DONE, "b"), "a", "b"),
    "update of nothing": (Act("update", MISSING, "b"), None, None),
    "update of the version": (Act("update", DONE, "b", only="a"), "a", "b"),
    "update of another version": (Act("update", MISMATCH, "b", only="x"), "a", "a"),
    "deletion": (Act("delete", DONE), "a", None),
    "deletion of nothing": (Act("delete", DONE), None, None),
    "deletion of a version that is gone": (Act("delete", DONE, only="a"), None, None),
    "deletion of another version": (Act("delete", MISMATCH, only="x"), "a", "a"),
    "perhaps updated": (Act("update", UNKNOWN, "b"), "a", "b"),
    "perhaps deleted": (Act("delete", UNKNOWN), "a", None),
}
IMPOSSIBLE: dict[str, tuple[Act, State]] = {
    "create of what exists": (Act("create", DONE, "b"), "a"),
    "refused create of nothing": (Act("create", EXISTS, "b"), None),
    "read of another version": (Act("read", DONE, "x"), "a"),
    "read of what was deleted": (Act("read", DONE, "a"), None),
    "read that misses": (Act("read", MISSING), "a"),
    "update of nothing": (Act("update", DONE, "b"), None),
    "update of another version": (Act("update", DONE, "b", only="x"), "a"),
    "refused update of the version": (Act("update", MISMATCH, "b", only="a"), "a"),
    "refused update without a condition": (Act("update", MISMATCH, "b"), "a"),
    "deletion of another version": (Act("delete", DONE, only="x"), "a"),
    "unknown update that would be refused": (Act("update", UNKNOWN, "b", only="x"), "a"),
}


@pytest.mark.parametrize(("act", "state", "after"), POSSIBLE.values(), ids=POSSIBLE)
def test_possible_outcome(act: Act, state: State, after: State) -> None:
    """A call with an outcome that its state admits leads to the state after it."""
    assert step(act, state) == after


@pytest.mark.parametrize(("act", "state"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_impossible_outcome(act: Act, state: State) -> None:
    """A call has no outcome that its state does not admit."""
    with pytest.raises(Impossible):
        step(act, state)
