"""What clients were told of their customers, and how that differs from what is stored."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from twc.customer.v2.customer_pb2 import Customer


class State(NamedTuple):
    """What writes change of a customer."""

    first_name: str = ""
    # In the order in which they were added.
    cities: tuple[str, ...] = ()


# A customer as it is stored; None if it is not.
Stored = State | None


class Known:
    """A customer, and the states that it may be in by what its one client was told."""

    def __init__(self, email: str) -> None:
        self.email = email
        self.id = ""
        self.states: list[Stored] = [None]

    @property
    def state(self) -> State:
        """The state that it is in, which is known."""
        [state] = self.states
        assert state is not None
        return state

    @property
    def is_certain(self) -> bool:
        """Whether it is stored, in a state that is known."""
        return len(self.states) == 1 and self.states[0] is not None

    def change(self, state: Stored, *, is_done: bool) -> None:
        """Notes a change; one whose outcome is unknown may have been made, or not."""
        self.states = [state] if is_done else [*self.states, state]


class Ledger:
    """The customers of one tenant."""

    def __init__(self) -> None:
        self.customers: list[Known] = []
        # What was answered, and was wrong in itself.
        self.faults: list[str] = []
        self.counts: Counter[str] = Counter()

    def add(self, email: str) -> Known:
        """Notes a customer that is about to be created."""
        self.customers.append(Known(email))
        return self.customers[-1]


def differences(ledgers: Iterable[Ledger], stored: Iterable[Customer]) -> list[str]:
    """Returns in words what was acknowledged and is not stored, or is stored otherwise."""
    found: dict[str, State] = {}
    wrong = []
    for customer in stored:
        if customer.email in found:
            wrong.append(f"{customer.email} is stored twice")
        found[customer.email] = state_of(customer)
    for known in (it for ledger in ledgers for it in ledger.customers):
        actual = found.pop(known.email, None)
        if actual not in known.states:
            wrong.append(f"{known.email} is {actual}, not {_either(known.states)}")
    return wrong + [f"{email} is stored, and nobody created it" for email in found]


def state_of(customer: Customer) -> State:
    """Returns what writes change of a customer, by gRPC."""
    return State(customer.first_name, tuple(it.city for it in customer.addresses))


def state_in(content: Mapping[str, list[dict[str, str]]]) -> State:
    """Returns what writes change of a customer, by REST."""
    return State(str(content["firstName"]), tuple(it["city"] for it in content["addresses"]))


def _either(states: list[Stored]) -> str:
    return " or ".join(str(state) for state in states)
