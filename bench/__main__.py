"""Measures the service side by side with what else one could have: `make bench`."""

import argparse
import re
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from bench.bulk import Import, Upload
from bench.chart import draw
from bench.contenders import CONTENDERS
from bench.databases import Databases
from bench.ground import Ground, forget_shell
from bench.group_commit import GroupCommit
from bench.growth import Growth
from bench.load.h2load import found
from bench.machine import facts
from bench.plan import FULL, QUICK, Plan
from bench.problems import BenchError
from bench.progress import shown
from bench.report import markdown, show
from bench.rounds import Rounds
from tests.support.postgres import serving

EXTRAS = [Upload(), Import(), GroupCommit(), Databases(), Growth()]

_PARTIAL = Path("build/bench")
_INTERRUPTED = 130


def main() -> None:
    """Measures what the arguments name, and writes it down."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less of everything, in 3 minutes")
    parser.add_argument("--only", default="", help="regular expression of names to measure")
    parser.add_argument("--out", type=Path, help="folder of results.md and results.svg")
    given = parser.parse_args()
    # What is measured in part is not to stand in the place of all.
    is_whole = not (given.quick or given.only)
    out = given.out or Path(__file__).parent if is_whole else given.out or _PARTIAL
    signal.signal(signal.SIGTERM, _stop)
    forget_shell()
    try:
        _run(QUICK if given.quick else FULL, given.only, out)
    except BenchError as error:
        sys.exit(f"The benchmark stopped: {error}")
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


def _run(plan: Plan, only: str, out: Path) -> None:
    found()
    began = time.monotonic()
    contenders = [each for each in CONTENDERS if re.search(only, each.name)]
    extras = [each for each in EXTRAS if re.search(only, each.name)]
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="twc-bench-"))
        wants = [each.has_database_process for each in contenders]
        wants += [each.has_database_process for each in extras]
        postgres = stack.enter_context(serving()) if any(wants) else None
        ground = Ground(Path(folder), plan, postgres)
        rounds = Rounds(ground, contenders, extras)
        with shown(rounds.steps) as steps:
            results = rounds.run(steps)
        machine = facts(ground)
    show(results)
    out.mkdir(parents=True, exist_ok=True)
    text = markdown(results, machine, ground, time.monotonic() - began)
    out.joinpath("results.md").write_text(text, "utf-8")
    draw(results, out / "results.svg")
    print(f"Written to {out / 'results.md'}")


def _stop(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    main()
