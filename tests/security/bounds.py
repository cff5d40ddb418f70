"""The bounds that hold under attack, and what of a trial breaks them."""

import json
import math
import re
from collections.abc import Iterator
from typing import NamedTuple

from tests.security.attacker import Who
from tests.security.attacks import Attack
from tests.security.attacks.headers import CANARY, FORGED
from tests.security.outcomes import OPEN, REFUSED, UNANSWERED, Outcomes
from tests.security.victim import HEALTH, RATES, READ, Sample


class Bounds(NamedTuple):
    """What may be, in seconds and MiB."""

    # The victim's p99 may be as many times what it was as an attack says, and below this
    # floor is never wrong: machines are busy with other things, too. None does not compare.
    floor_seconds: float | None = 0.05
    # Writes wait for the disk.
    write_floor_seconds: float = 0.15
    # Fewer calls say nothing of times.
    samples: int = 8
    # The highest resident memory of a process, and what it may keep when it is calm again.
    peak_mebibytes: float = 400
    supervisor_mebibytes: float = 80
    kept_mebibytes: float = 150
    # The longest line of the log.
    line_bytes: int = 4096
    # Whether a call that is not complete must end in the time that an attack says.
    must_end: bool = True


FULL = Bounds()
# For runs beside others: times say little there.
COARSE = Bounds(floor_seconds=None, must_end=False)

# What a trial is said to have broken if the victim was slowed down, or held up.
SLOWER, STALLED = "the victim's p99 went", "the victim waited for the attack to end"
# The name of the process that starts the others.
_SUPERVISOR = "supervisor"
# An attack that is over sooner says nothing of who waited for its end.
_SHORT_SECONDS = 0.5
_FAULTS = {"500", "grpc 2", "grpc 13"}
_SERVED = re.compile(r"2\d\d|grpc 0")


class Trial(NamedTuple):
    """What was seen of an attack: before, during and after it."""

    attack: Attack
    who: Who
    outcomes: Outcomes
    # The times of the monotonic clock at which it began and ended.
    time: tuple[float, float]
    before: list[Sample]
    during: list[Sample]
    after: list[Sample]
    # Memory by process: before, at its highest, and after.
    calm: dict[str, float]
    peaks: dict[str, float]
    kept: dict[str, float]
    log: bytes
    ended: list[str]
    is_recovered: bool


def percentile(samples: list[Sample], part: float) -> float | None:
    """Returns the time that a part of some calls took at most, or None without calls."""
    times = sorted(each.seconds for each in samples)
    return times[min(len(times) - 1, int(part * len(times)))] if times else None


def of_kind(samples: list[Sample], kind: str) -> list[Sample]:
    """Returns the calls of a kind."""
    return [each for each in samples if each.kind == kind]


def broken(trial: Trial, bounds: Bounds) -> list[str]:
    """Returns what breaks the bounds, in words."""
    return [
        *_victims(trial, bounds),
        *_stalls(trial),
        *_answers(trial, bounds),
        *_memory(trial, bounds),
        *_log(trial.log, bounds),
        *trial.outcomes.findings,
        *(f"{name} has ended" for name in trial.ended),
        *([] if trial.is_recovered else ["the victim is not served after the attack"]),
    ]


def _victims(trial: Trial, bounds: Bounds) -> Iterator[str]:
    failed, slow = [], []
    for kind in RATES:
        before, during = (of_kind(calls, kind) for calls in (trial.before, trial.during))
        if bad := [each.status for each in during if not each.is_good]:
            what = ", ".join(sorted(set(bad)))
            failed.append(f"{kind} {len(bad)} of {len(during)} ({what})")
        was, now = percentile(before, 0.99), percentile(during, 0.99)
        if (
            was
            and now
            and len(during) >= bounds.samples
            and now > _most_seconds(trial.attack, kind, was, bounds)
        ):
            slow.append(f"{kind} {was * 1000:.0f} to {now * 1000:.0f}")
    if failed:
        yield f"the victim's calls failed: {', '.join(failed)}"
    if slow:
        yield f"{SLOWER} from and to (ms): {', '.join(slow)}"


def _stalls(trial: Trial) -> Iterator[str]:
    """Finds calls of the victim that waited for the attack to end.

    Of those that were due in its first half, most end before the attack does, however
    slow the machine is, unless they take as long where there is no attack.
    """
    begin, end = trial.time
    usual = percentile(of_kind([*trial.before, *trial.after], READ), 0.9) or 0.0
    if end - begin < max(_SHORT_SECONDS, 3 * usual):
        return
    for kind in (READ, HEALTH):
        early = [it for it in of_kind(trial.during, kind) if it.due < (begin + end) / 2]
        late = [each for each in early if each.due + each.seconds > end]
        if len(late) > len(early) / 2:
            yield f"{STALLED}: {kind}"


def _most_seconds(attack: Attack, kind: str, before: float, bounds: Bounds) -> float:
    """Returns what the victim's p99 may be during an attack."""
    if bounds.floor_seconds is None:
        return math.inf
    is_write = kind in {"write", "native write", "upload"}
    floor = bounds.write_floor_seconds if is_write else bounds.floor_seconds
    if kind in {"upload", "changes"}:
        floor = max(floor, attack.place_seconds)
    return max(floor, attack.slower * before)


def _answers(trial: Trial, bounds: Bounds) -> Iterator[str]:
    attack, outcomes = trial.attack, trial.outcomes
    if attack.answer_bytes is not None and outcomes.largest > attack.answer_bytes:
        yield f"an answer of {outcomes.largest / 1024:.0f} KiB"
    waiting = outcomes.statuses[OPEN]
    if attack.ends_within and waiting and bounds.must_end:
        yield f"{waiting} calls did not end within {attack.ends_within:.0f} s"
    for label in sorted(outcomes.statuses):
        if label in {UNANSWERED, REFUSED}:
            yield f"{outcomes.statuses[label]} of the attacker's calls were {label}"
        elif label in _FAULTS - {*attack.allowed}:
            yield f"the attacker got {label}"
        elif (
            trial.who != Who.OWN
            and _SERVED.fullmatch(label)
            and not attack.is_public
            and label not in attack.allowed
        ):
            yield f"{outcomes.statuses[label]} calls without a right to it were served ({label})"


def _memory(trial: Trial, bounds: Bounds) -> Iterator[str]:
    for name, mebibytes in trial.peaks.items():
        is_supervisor = name == _SUPERVISOR
        most = trial.attack.peak_mebibytes or bounds.peak_mebibytes
        if is_supervisor:
            most = bounds.supervisor_mebibytes
        if mebibytes > most:
            yield f"{name} had {mebibytes:.0f} MiB"
    for name, mebibytes in trial.kept.items():
        if mebibytes - trial.calm.get(name, mebibytes) > bounds.kept_mebibytes:
            yield f"{name} kept {mebibytes:.0f} MiB"


def _log(log: bytes, bounds: Bounds) -> Iterator[str]:
    if CANARY.encode() in log:
        yield f"the log has {CANARY}"
    lines = log.splitlines()
    longest = max(map(len, lines), default=0)
    if longest > bounds.line_bytes:
        yield f"the log has a line of {longest} bytes"
    for line in lines:
        if line.startswith(b"{"):
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # Processes write at the same time, in pieces.
            if isinstance(entry, dict) and FORGED in entry:
                yield "a line of the log is forged"
                return
