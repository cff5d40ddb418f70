"""Runs proofs of what the service promises, for as long as they are told to."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tests.soak import stops
from tests.support.processes import RUN, end_strays

_ROUNDS = 50
_END_SECONDS = 10


def main() -> None:
    """Runs the proof that the arguments name. Exits with 1 if it has found a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("name", choices=["stop"])
    parser.add_argument("--rounds", type=int, default=_ROUNDS)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="twc-soak-") as folder:
        os.environ[RUN] = folder
        try:
            seen = [
                stop(Path(folder) / stop.__name__, args.rounds)
                for stop in (stops.stop_workers, stops.stop_service)
            ]
        finally:
            end_strays(None, _END_SECONDS)
    for it in seen:
        lines = [f"{it.rounds} stops of {it.part}: {it.answered:,} calls answered", *it.faults]
        print("\n".join(lines))  # noqa: T201 - its result
    sys.exit(any(it.faults for it in seen))


if __name__ == "__main__":
    main()
