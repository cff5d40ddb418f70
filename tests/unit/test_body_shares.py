"""Which large bodies are read, and which wait for others to end."""

import pytest

from tests.unit.test_limits import Clock
from twc_customer_server import contract
from twc_customer_server.transport.body_shares import (
    MOST,
    MOST_WAITING,
    PART_LEFT,
    SMALL_BYTES,
    Body,
    BodyShares,
)

MOST_BYTES = 512 << 20
LARGEST = contract.MAX_UPLOAD_BYTES


@pytest.fixture
def clock() -> Clock:
    """A clock that a test sets."""
    return Clock()


@pytest.fixture
def shares(clock: Clock) -> BodyShares[str]:
    """Places for bodies, of which none is taken."""
    shares: BodyShares[str] = BodyShares(clock)
    shares.most_bytes = MOST_BYTES
    return shares


def fill(shares: BodyShares[str], size: int, tenants: int) -> int:
    """Begins as many bodies of each of some tenants as are read; returns their number."""
    return sum(
        shares.take(f"{tenant}-{number}", Body(f"filler-{tenant}", size))
        for tenant in range(tenants)
        for number in range(MOST)
    )


def test_number_of_a_tenant(shares: BodyShares[str]) -> None:
    """A tenant has few bodies read, and few more wait, whatever their size."""
    a, b = Body("a", 1), Body("b", 1)
    assert [shares.take(f"a{n}", a) for n in range(MOST + 1)] == [True] * MOST + [False]
    assert [shares.wait(f"w{n}", a) for n in range(MOST_WAITING)] == [True] * MOST_WAITING
    assert not shares.wait("w", a)
    assert shares.take("b", b)


def test_bytes_of_all(shares: BodyShares[str]) -> None:
    """However many tenants send the largest bodies, some bytes are left for smaller ones."""
    number = fill(shares, LARGEST, 1000)
    left = MOST_BYTES - number * LARGEST
    assert MOST_BYTES / 2 < number * LARGEST < MOST_BYTES
    assert not shares.take("large", Body("a", LARGEST))
    assert shares.take("smaller", Body("a", left // PART_LEFT))


def test_small_bodies(shares: BodyShares[str]) -> None:
    """A small body is read although others have all bytes."""
    size = LARGEST
    while size > SMALL_BYTES:
        fill(shares, size, 1000)
        size //= 2
    assert not shares.take("large", Body("a", 4 * SMALL_BYTES))
    assert shares.take("small", Body("a", SMALL_BYTES))


def test_turns(shares: BodyShares[str]) -> None:
    """The end of a body lets those pass for which there are bytes, and no more of its tenant."""
    assert fill(shares, LARGEST, 1000) > MOST
    b, c = Body("b", LARGEST), Body("c", LARGEST)
    assert not shares.take("b", b)
    assert shares.wait("b", b)
    assert shares.wait("c", c)
    assert shares.leave("0-0", "filler-0") == ["b"]
    assert shares.leave("c", "c") == []
    assert shares.leave("0-1", "filler-0") == []


def test_long_wait(shares: BodyShares[str], clock: Clock) -> None:
    """A body that has waited for too long waits no more, and its end lets no other pass."""
    a = Body("a", 1)
    for number in range(MOST):
        shares.take(str(number), a)
    assert shares.wait("late", a)
    assert shares.take_late() == []
    clock.now += contract.LARGE_BODY_WAIT_SECONDS
    assert shares.take_late() == ["late"]
    assert shares.wait("next", a)
    assert shares.leave("late", "a") == []
    assert shares.leave("0", "a") == ["next"]


# Of one of four workers and of the only one: the bytes, and tenants that send all they may.
FLOODS = {"of four workers": (MOST_BYTES // 4, 2), "of one worker": (MOST_BYTES, 8)}


@pytest.mark.parametrize(("most_bytes", "floods"), FLOODS.values(), ids=FLOODS)
def test_floods_of_others(
    shares: BodyShares[str], clock: Clock, most_bytes: int, floods: int
) -> None:
    """Tenants that send all they may have no more bodies read than one that came last."""
    shares.most_bytes = most_bytes
    names = [f"flood-{number}" for number in range(floods)]
    served = dict.fromkeys([*names, "last"], 0)
    ends: dict[str, float] = {}
    number = 0

    def begin(keys: list[str]) -> None:
        for key in keys:
            served[key.partition("/")[0]] += 1
            ends[key] = clock.now + 1

    def send(tenant: str) -> None:
        nonlocal number
        number += 1
        key, body = f"{tenant}/{number}", Body(tenant, LARGEST)
        if shares.take(key, body):
            begin([key])
        else:
            assert shares.wait(key, body)

    for tenant in (*names, "last"):
        for _ in range(MOST + MOST_WAITING - 4):
            send(tenant)
    while clock.now < 1060:
        clock.now += 0.125
        for key in [key for key, end in ends.items() if end <= clock.now]:
            del ends[key]
            begin(shares.leave(key, key.partition("/")[0]))
            send(key.partition("/")[0])
        for key in shares.take_late():
            send(key.partition("/")[0])
    assert min(served.values()) > 0.8 * max(served.values()), served


def test_turns_of_tenants(shares: BodyShares[str]) -> None:
    """The next body is of the tenant with the fewest, of several the one served longest ago."""
    number = fill(shares, LARGEST, 1000)
    tenants = [f"filler-{number // MOST - 1}", "b", "c"]
    for tenant in tenants:
        for each in range(2):
            assert shares.wait(f"{tenant}-{each}", Body(tenant, LARGEST))
    served = [shares.leave(f"0-{each}", "filler-0") for each in range(4)]
    assert served == [["b-0"], ["c-0"], ["b-1"], ["c-1"]]
