"""Runs proofs of what the service promises, on each kind of database: `make soak`."""

import argparse
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.soak import clocks, histories, kills, load, races, stops
from tests.soak.databases import NAMES, POSTGRESQL, SQLITE, OwnDatabase, opened
from tests.soak.place import Place
from tests.soak.report import Plan, Report, show
from tests.support.program import run_folder, say

Run = Callable[[OwnDatabase, Path, Plan], Report]


class Proof(NamedTuple):
    """What is run, and how many rounds of it on each kind of database that it is for."""

    run: Run
    rounds: dict[str, int]


def _served(prove: Callable[[Place, Plan], Report], **settings: Any) -> Run:
    """Runs a proof on a service that is started for it."""

    def run(database: OwnDatabase, folder: Path, plan: Plan) -> Report:
        with Place(database, folder, **settings) as place:
            return prove(place, plan)

    return run


PROOFS = {
    "kills": Proof(_served(kills.run), {SQLITE: 100, POSTGRESQL: 50}),
    "races": Proof(_served(races.run), {SQLITE: 20, POSTGRESQL: 20}),
    "histories": Proof(_served(histories.run), {SQLITE: 20, POSTGRESQL: 20}),
    "clocks": Proof(clocks.run, {SQLITE: 1, POSTGRESQL: 1}),
    "stops": Proof(stops.run, {SQLITE: 50}),
    "load": Proof(_served(load.run, **load.SETTINGS), {SQLITE: 1, POSTGRESQL: 1}),
}


def main() -> None:
    """Runs the proofs that the arguments name. Exits with 1 if one has found a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PROOFS)}; or all")
    parser.add_argument("--database", choices=NAMES, action="append", help="by default each")
    parser.add_argument("--rounds", type=int, help="of each proof, in place of its default")
    parser.add_argument("--calls", type=int, default=Plan().calls, help="in a round of some proofs")
    parser.add_argument("--minutes", type=float, default=Plan().minutes, help="of the load")
    parser.add_argument("--seed", type=int, help="repeats the choices of a run, but not its times")
    args = parser.parse_args()
    if unknown := {*args.names} - PROOFS.keys():
        parser.error(f"there is no {', '.join(sorted(unknown))}: choose from {', '.join(PROOFS)}")
    seed = random.randrange(1 << 32) if args.seed is None else args.seed
    say(f"seed {seed}")
    faults = 0
    with run_folder("twc-soak-") as folder:
        for name in args.names or PROOFS:
            proof = PROOFS[name]
            chosen = [it for it in proof.rounds if it in (args.database or NAMES)]
            for database in chosen:
                plan = Plan(args.rounds or proof.rounds[database], args.calls, args.minutes, seed)
                faults += len(_run(proof, f"{name} on {database}", database, folder, plan).faults)
    sys.exit(faults > 0)


def _run(proof: Proof, title: str, kind: str, folder: Path, plan: Plan) -> Report:
    own = folder / title.replace(" ", "-")
    own.mkdir()
    with opened(kind, own) as database:
        report = proof.run(database, own, plan)
    show(title, report)
    return report


if __name__ == "__main__":
    main()
