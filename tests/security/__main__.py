"""Runs attacks beside a victim's steady calls, and fails if a bound is broken: `make attack`."""

import argparse
import sys
import time

from tests.security.bounds import FULL
from tests.security.report import line, table
from tests.security.trials import Plan, chosen, run_all
from tests.support.program import run_folder, say

_SECONDS, _QUICK_SECONDS = 5.0, 1.5
_CALM_SECONDS, _QUICK_CALM_SECONDS = 1.5, 0.5
_QUICK_VOLUME = 0.25


def main() -> None:
    """Runs the attacks that the arguments select. Exits with 1 if a bound is broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.security", description=__doc__)
    parser.add_argument("--only", default="", help="regular expression of attacks' names")
    parser.add_argument("--seconds", type=float, help=f"of each attack; default {_SECONDS:.0f}")
    parser.add_argument("--quick", action="store_true", help="the most telling ones, briefly")
    parser.add_argument("--list", action="store_true", help="say what each attack does")
    args = parser.parse_args()
    attacks = chosen(args.only, is_quick=args.quick)
    if args.list:
        for attack in dict.fromkeys(attack for attack, _ in attacks):
            say(f"{attack.name} ({', '.join(attack.who)}): {attack.summary}")
        return
    if not attacks:
        sys.exit(f"No attack has a name that matches {args.only!r}")
    with run_folder("twc-attack-"):
        is_broken = _run(attacks, _plan(args))
    sys.exit(is_broken)


def _plan(args: argparse.Namespace) -> Plan:
    return Plan(
        seconds=args.seconds or (_QUICK_SECONDS if args.quick else _SECONDS),
        volume=_QUICK_VOLUME if args.quick else 1.0,
        calm_seconds=_QUICK_CALM_SECONDS if args.quick else _CALM_SECONDS,
        is_quick=args.quick,
        # A brief run is over before calls that are not complete must end.
        bounds=FULL._replace(must_end=not args.quick),
    )


def _run(attacks: list, plan: Plan) -> bool:  # type: ignore[type-arg]
    begin = time.monotonic()
    results = []
    for result in run_all(attacks, plan):
        results.append(result)
        say(line(len(results), len(attacks), result))
    wrong = [result for result in results if result.broken]
    say(f"\n{table(results)}\n")
    names = len({result.trial.attack.name for result in results})
    say(
        f"{names} attacks, {len(results)} runs in {time.monotonic() - begin:.0f} s: "
        f"bounds were broken in {len(wrong)}"
    )
    return bool(wrong)


if __name__ == "__main__":
    main()
