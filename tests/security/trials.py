"""Runs attacks, one after the other, beside the victim's calls."""

import re
import time
from collections.abc import Iterator
from typing import NamedTuple

import grpc

from tests.security.attacker import Attacker, Who
from tests.security.attacks import ATTACKS, Attack
from tests.security.bounds import SLOWER, STALLED, Bounds, Trial, broken
from tests.security.target import SCENES, Target, Targets

# The part of the time that a brief attack lasts.
_BRIEF = 0.4
_RECOVERY_SECONDS = 15.0
_STEP_SECONDS = 0.3
_MEMORY_SECONDS = 5.0
# What else a run takes, and the part of its time after which the calls of one have usually ended.
_OTHER_SECONDS = 0.5
# So much more than they are said to take all attacks may take.
_MOST_LATE_SECONDS = 4 * 60
_ENDED = 0.55


class Plan(NamedTuple):
    """How attacks are run: for how long each, with what part of their calls, what must hold."""

    seconds: float
    volume: float
    calm_seconds: float
    is_quick: bool
    bounds: Bounds


class Result(NamedTuple):
    """A trial and what broke in it."""

    trial: Trial
    broken: list[str]

    @property
    def is_only_slow(self) -> bool:
        """Whether nothing but the victim's time was wrong, which others may have taken."""
        return bool(self.broken) and all(each.startswith((SLOWER, STALLED)) for each in self.broken)


def chosen(only: str, *, is_quick: bool) -> list[tuple[Attack, Who]]:
    """Returns attacks, with each of their credentials, whose name has a regular expression."""
    return [
        (attack, who)
        for scene in SCENES
        for attack in ATTACKS
        if attack.scene == scene and re.search(only, attack.name)
        for who in (attack.quick if is_quick else attack.who)
    ]


def run_all(attacks: list[tuple[Attack, Who]], plan: Plan) -> Iterator[Result]:
    """Runs attacks on services that are started for them, and yields each result.

    If they take much longer than `duration` says, none is run twice any more.
    """
    begin = time.monotonic()
    with Targets() as targets:
        for number, (attack, who) in enumerate(attacks):
            late = time.monotonic() - begin - duration(attacks[:number], plan)
            yield run_one(targets, attack, who, plan, may_repeat=late < _MOST_LATE_SECONDS)


def run_one(
    targets: Targets, attack: Attack, who: Who, plan: Plan, *, may_repeat: bool = True
) -> Result:
    """Runs an attack on the service in its scene.

    It may be run twice if the victim was only slow, since the machine may have been
    busy with something else. A service that was hurt is ended, so that no other
    attack is judged for it.
    """
    result = _run(targets.get(attack.scene), attack, who, plan)
    if may_repeat and result.is_only_slow:
        again = _run(targets.get(attack.scene), attack, who, plan)
        result = min(result, again, key=lambda each: len(each.broken))
    if result.broken and not result.is_only_slow:
        targets.end(attack.scene)
    return result


def _run(target: Target, attack: Attack, who: Who, plan: Plan) -> Result:
    if not target.calm:
        target.calm.append(_watch(plan.calm_seconds))
    before = target.calm_calls()
    calm = target.memory.now()
    target.memory.reset()
    target.new_log()
    attacker = Attacker(target, who, attack.port, _seconds(attack, plan), plan.volume)
    try:
        attack.run(attacker)
    except (grpc.RpcError, OSError) as error:
        attacker.outcomes.find(f"the attack could not be made ({type(error).__name__})")
    finally:
        end = time.monotonic()
        attacker.close()
        target.issuer.behave()
    during = target.victim.calls(attacker.begin, end)
    is_recovered = _recovers(target, end)
    after = _watch(plan.calm_seconds)
    if is_recovered:
        target.calm.append(after)
    kept = _settled(target, calm, plan.bounds)
    trial = Trial(
        attack,
        who,
        attacker.outcomes,
        (attacker.begin, end),
        before,
        during,
        target.victim.calls(*after) if is_recovered else [],
        calm,
        target.memory.peaks(),
        kept,
        target.new_log(),
        target.ended(),
        is_recovered,
    )
    return Result(trial, broken(trial, plan.bounds))


def duration(attacks: list[tuple[Attack, Who]], plan: Plan) -> float:
    """Returns the seconds that some attacks take, about."""
    lasting = sum(_usual_seconds(attack, plan) for attack, _ in attacks)
    return lasting + len(attacks) * (plan.calm_seconds + _STEP_SECONDS + _OTHER_SECONDS)


def _usual_seconds(attack: Attack, plan: Plan) -> float:
    """Returns how long an attack lasts, about: one whose calls must end is over when they have."""
    seconds = _seconds(attack, plan)
    return seconds * _ENDED if seconds == attack.ends_within else seconds


def _seconds(attack: Attack, plan: Plan) -> float:
    """Returns how long an attack lasts at most."""
    if plan.is_quick:
        return plan.seconds
    usual = plan.seconds * (_BRIEF if attack.is_brief else 1)
    return max(usual, attack.seconds, attack.ends_within)


def _watch(seconds: float) -> tuple[float, float]:
    """Waits for a time in which there is no attack, and returns it."""
    begin = time.monotonic()
    time.sleep(seconds)
    return begin, begin + seconds


def _recovers(target: Target, end: float) -> bool:
    """Waits until all the victim's calls of a moment are served; tells whether they are."""
    while time.monotonic() < end + _RECOVERY_SECONDS:
        if target.is_serving(*_watch(_STEP_SECONDS)):
            return True
        if target.process.poll() is not None:
            return False
    return False


def _settled(target: Target, calm: dict[str, float], bounds: Bounds) -> dict[str, float]:
    """Waits for processes to give memory back, and returns what each has then."""
    deadline = time.monotonic() + _MEMORY_SECONDS
    while True:
        kept = target.memory.now()
        grown = (now - calm.get(name, now) for name, now in kept.items())
        if time.monotonic() > deadline or max(grown, default=0) <= bounds.kept_mebibytes:
            return kept
        time.sleep(_STEP_SECONDS)
