"""Measures the service side by side with a baseline and with peers: `make bench`."""

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
from bench.chart import draw_chart
from bench.contenders import CONTENDERS
from bench.errors import BenchError
from bench.load.h2load import find_h2load
from bench.machine import describe_machine
from bench.postgres import running_postgres
from bench.report import markdown_report, print_report
from bench.rounds import Rounds
from bench.service_benchmarks import DatabaseSize, GroupCommit, Observability
from bench.testbed import FULL, QUICK, Plan, Testbed, unset_service_settings

SERVICE_BENCHMARKS = [Import(), Upload(), GroupCommit(), Observability(), DatabaseSize()]

_PARTIAL_OUTPUT = Path("build/bench")
_INTERRUPTED = 130


def main() -> None:
    """Runs the measurements that the arguments select, and writes the report."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller measurements, in 3 minutes")
    parser.add_argument("--only", default="", help="regular expression of names to measure")
    parser.add_argument("--out", type=Path, help="folder of results.md and results.svg")
    args = parser.parse_args()
    # A partial report must not replace the one in the repository.
    default = _PARTIAL_OUTPUT if args.quick or args.only else Path(__file__).parent
    signal.signal(signal.SIGTERM, _terminate)
    unset_service_settings()
    try:
        _run(QUICK if args.quick else FULL, args.only, args.out or default)
    except BenchError as error:
        sys.exit(f"The benchmark failed: {error}")
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


def _run(plan: Plan, only: str, out: Path) -> None:
    find_h2load()
    started = time.monotonic()
    contenders = [each for each in CONTENDERS if re.search(only or plan.contenders, each.name)]
    benchmarks = [each for each in SERVICE_BENCHMARKS if re.search(only, each.name)]
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="twc-bench-"))
        needs_postgres = any(each.needs_postgres for each in contenders)
        postgres = stack.enter_context(running_postgres()) if needs_postgres else None
        testbed = Testbed(Path(folder), plan, postgres)
        rounds = Rounds(testbed, contenders, benchmarks)
        results = rounds.run()
        machine = describe_machine(testbed)
    print_report(results)
    out.mkdir(parents=True, exist_ok=True)
    text = markdown_report(results, machine, testbed, time.monotonic() - started)
    out.joinpath("results.md").write_text(text, "utf-8")
    draw_chart(results, out / "results.svg")
    print(f"Report: {out / 'results.md'}")
    if rounds.failed:
        raise BenchError(", ".join(rounds.failed))


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    main()
