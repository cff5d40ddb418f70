"""Runs attacks beside a victim's steady calls, and fails if a bound is broken: `make attack`.

All of them take at most about half an hour: the more there are, the shorter is each. WRITE=1
writes the table into docs/attacks.md.
"""

import argparse
import os
import sys
import time
from datetime import UTC, datetime

from tests.security.attacker import Who
from tests.security.attacks import Attack
from tests.security.bounds import FULL
from tests.security.report import line, table, write
from tests.security.trials import Plan, chosen, duration, run_all
from tests.support.program import run_folder, say

# The time of each attack, which is as much shorter as the most for all of them wants, and of
# the calm after it.
_SECONDS, _QUICK_SECONDS = 5.0, 1.5
ALL_SECONDS = 30 * 60
_STEP_SECONDS, _LEAST_SECONDS = 0.5, 1.0
_CALM_SECONDS = 0.5
_QUICK_VOLUME = 0.25

Attacks = list[tuple[Attack, Who]]


def main() -> None:
    """Runs the attacks that the arguments select. Exits with 1 if a bound is broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.security", description=__doc__)
    parser.add_argument("--only", default="", help="regular expression of attacks' names")
    parser.add_argument(
        "--seconds", type=float, help=f"of each attack; default {_SECONDS:.0f}, fewer if many run"
    )
    parser.add_argument("--quick", action="store_true", help="the most telling ones, briefly")
    parser.add_argument("--write", action="store_true", help="write the table into the docs")
    parser.add_argument("--list", action="store_true", help="say what each attack does")
    args = parser.parse_args()
    if args.write and (args.only or args.quick):
        parser.error("the table that is written is of all attacks")
    attacks = chosen(args.only, is_quick=args.quick)
    if args.list:
        for attack in dict.fromkeys(attack for attack, _ in attacks):
            say(f"{attack.name} ({', '.join(attack.who)}): {attack.summary}")
        return
    if not attacks:
        sys.exit(f"No attack has a name that matches {args.only!r}")
    planned = plan(attacks, seconds=args.seconds, is_quick=args.quick)
    with run_folder("twc-attack-"):
        is_broken = _run(attacks, planned, is_written=args.write)
    sys.exit(is_broken)


def plan(attacks: Attacks, *, seconds: float | None, is_quick: bool) -> Plan:
    """Returns how attacks are run, each for some seconds if that is said, all in half an hour."""
    planned = Plan(
        seconds=seconds or (_QUICK_SECONDS if is_quick else _SECONDS),
        volume=_QUICK_VOLUME if is_quick else 1.0,
        calm_seconds=_CALM_SECONDS,
        is_quick=is_quick,
        # A brief run is over before calls that are not complete must end.
        bounds=FULL._replace(must_end=not is_quick),
    )
    while not seconds and planned.seconds > _LEAST_SECONDS:
        if duration(attacks, planned) <= ALL_SECONDS:
            break
        planned = planned._replace(seconds=planned.seconds - _STEP_SECONDS)
    return planned


def _run(attacks: Attacks, planned: Plan, *, is_written: bool) -> bool:
    begin = time.monotonic()
    load = os.getloadavg()[0]
    minutes = duration(attacks, planned) / 60
    say(f"{len(attacks)} runs of {planned.seconds:g} s or more: about {minutes:.0f} minutes")
    results = []
    for result in run_all(attacks, planned):
        results.append(result)
        say(line(len(results), len(attacks), result))
    wrong = [result for result in results if result.broken]
    say(f"\n{table(results)}\n")
    names = len({result.trial.attack.name for result in results})
    summary = (
        f"{names} attacks, {len(results)} runs in {time.monotonic() - begin:.0f} s: "
        f"bounds were broken in {len(wrong)}"
    )
    say(summary)
    if is_written:
        write(results, f"{datetime.now(UTC).date()}; {_machine(load)}; {summary}.")
    return bool(wrong)


def _machine(load: float) -> str:
    return f"{os.cpu_count()} cores, load average {load:.1f} before"


if __name__ == "__main__":
    main()
