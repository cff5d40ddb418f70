"""What is stored is compared with what clients were told: whatever differs is found."""

import pytest
from twc.customer.v2.customer_pb2 import Address, Customer

from tests.soak.ledger import Ledger, State, Stored, differences

NEW, CHANGED = State("new"), State("changed", ("Berlin", "Rom"))


def _stored(state: State) -> Customer:
    addresses = [Address(city=city) for city in state.cities]
    return Customer(email="ada@example.com", first_name=state.first_name, addresses=addresses)


# The changes that were made, each with whether it was acknowledged, and what is stored.
SAME: dict[str, tuple[list[tuple[Stored, bool]], list[State]]] = {
    "created": ([(NEW, True)], [NEW]),
    "perhaps created": ([(NEW, False)], [NEW]),
    "perhaps not created": ([(NEW, False)], []),
    "changed": ([(NEW, True), (CHANGED, True)], [CHANGED]),
    "perhaps changed": ([(NEW, True), (CHANGED, False)], [CHANGED]),
    "perhaps not changed": ([(NEW, True), (CHANGED, False)], [NEW]),
    "deleted": ([(NEW, True), (None, True)], []),
    "perhaps not deleted": ([(NEW, True), (None, False)], [NEW]),
}
OTHER: dict[str, tuple[list[tuple[Stored, bool]], list[State]]] = {
    "lost": ([(NEW, True)], []),
    "stored twice": ([(NEW, True)], [NEW, NEW]),
    "change lost": ([(NEW, True), (CHANGED, True)], [NEW]),
    "change made twice": (
        [(NEW, True), (State("new", ("Rom",)), True)],
        [State("new", ("Rom", "Rom"))],
    ),
    "perhaps changed, and lost": ([(NEW, True), (CHANGED, False)], []),
    "changed by half": ([(NEW, True), (CHANGED, False)], [State("changed")]),
    "deletion lost": ([(NEW, True), (None, True)], [NEW]),
    "never created": ([], [NEW]),
}


def _differences(told: list[tuple[Stored, bool]], stored: list[State]) -> list[str]:
    ledger = Ledger()
    known = ledger.add("ada@example.com")
    for state, is_done in told:
        known.change(state, is_done=is_done)
    return differences([ledger], [_stored(state) for state in stored])


@pytest.mark.parametrize(("told", "stored"), SAME.values(), ids=SAME)
def test_same(told: list[tuple[Stored, bool]], stored: list[State]) -> None:
    """What is as it was acknowledged, or may be by what was not answered, is no difference."""
    assert _differences(told, stored) == []


@pytest.mark.parametrize(("told", "stored"), OTHER.values(), ids=OTHER)
def test_other(told: list[tuple[Stored, bool]], stored: list[State]) -> None:
    """What is lost, there twice, or otherwise than any answer admits is a difference."""
    [found] = _differences(told, stored)
    assert found.startswith("ada@example.com is ")
