"""Tests of the rounds of the benchmark."""

from pathlib import Path

from bench import testbed
from bench.bulk import Import
from bench.contenders import PythonPeer
from bench.results import ServiceMetric
from bench.rounds import Rounds

PLAN = testbed.QUICK._replace(imported_customers=20)


def test_failure(tmp_path: Path) -> None:
    """What fails is no result, with the reason, and all else is measured."""
    bed = testbed.Testbed(tmp_path, PLAN, postgres=None)
    rounds = Rounds(bed, [PythonPeer("broken", "no_such_module")], [Import()])

    results = rounds.run()

    assert rounds.failed.keys() == results.skipped.keys() == {"broken"}
    assert results.skipped["broken"].startswith("broken cannot create its database: ")
    assert (results.scenario_stats, results.latencies) == ({}, {})
    assert results.service_metrics.keys() == {
        ServiceMetric.IMPORT,
        ServiceMetric.IMPORT_PARTS,
        ServiceMetric.IMPORT_MEMORY,
    }
    assert min(results.service_metrics.values()) > 0
