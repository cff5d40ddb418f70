"""The list of attacks, and the decorators that add to it."""

from collections.abc import Callable
from typing import NamedTuple

from tests.security.attacker import Attacker, Who
from tests.security.target import PLAIN

NOBODY = (Who.NONE,)
OWNER = (Who.OWN,)
FOREIGN = (Who.NONE, Who.OTHER)
EVERYONE = (Who.NONE, Who.OTHER, Who.OWN)

KIBIBYTE, MEBIBYTE = 1 << 10, 1 << 20
ANSWER_BYTES = 64 * KIBIBYTE
# The results of an upload of as many items as it may have.
RESULTS_BYTES = ANSWER_BYTES + 10_000 * KIBIBYTE

Run = Callable[[Attacker], None]


class Attack(NamedTuple):
    """An attack, and what is expected of the service under it.

    `summary` says what it does, `who` with which credentials, and `quick` with which
    of these it is part of a short run.
    """

    name: str
    summary: str
    run: Run
    who: tuple[Who, ...] = FOREIGN
    quick: tuple[Who, ...] = ()
    scene: str = PLAIN
    port: str = "gateway"
    # The attack lasts at least so many seconds, unless in a short run; a brief one, which
    # shows at once what it does, lasts only a part of the time.
    seconds: float = 0.0
    is_brief: bool = False
    # Time in which each of its calls, complete or not, must be answered or cut.
    ends_within: float = 0.0
    # The victim's p99 may be so many times what it was.
    slower: float = 3.0
    # Its uploads and looks for changes may wait so long for a place.
    place_seconds: float = 0.0
    # The highest memory of a process in MiB, where it may be another than elsewhere.
    peak_mebibytes: float = 0.0
    # The largest answer, or None if its size is that of results.
    answer_bytes: int | None = ANSWER_BYTES
    # Whether callers without a good token may be served, as by a health check.
    is_public: bool = False
    # Statuses that would be a fault of the service elsewhere.
    allowed: tuple[str, ...] = ()


ATTACKS: list[Attack] = []


def attack(*, native: bool = False, **expected: object) -> Callable[[Run], Run]:
    """Adds a function as an attack, by its name and docstring; on the native port, too."""

    def add(run: Run) -> Run:
        register(run.__name__, run.__doc__, run, **expected)
        if native:
            # One port is enough for a short run.
            also = expected | {"port": "native", "quick": ()}
            register(f"{run.__name__}_native", run.__doc__, run, **also)
        return run

    return add


def body(
    path: str = "/customers", *, connections: int = 1, **expected: object
) -> Callable[[Callable[[], bytes]], Callable[[], bytes]]:
    """Adds a function that makes a body as the attack that posts it again and again."""

    def add(make: Callable[[], bytes]) -> Callable[[], bytes]:
        def run(attacker: Attacker) -> None:
            sent = attacker.request("POST", path, make())
            attacker.start()
            attacker.repeat(sent, connections=connections)

        register(make.__name__, make.__doc__, run, **{"who": (Who.NONE, Who.OWN)} | expected)
        return make

    return add


def register(name: str, summary: str | None, run: Run, **expected: object) -> None:
    """Adds an attack; `expected` are its other fields."""
    assert summary, f"{name} does not say what it does"
    words = name.strip("_").replace("_", " ")
    assert words not in {each.name for each in ATTACKS}, f"there are two attacks {words}"
    ATTACKS.append(Attack(words, summary, run, **expected))  # type: ignore[arg-type]
