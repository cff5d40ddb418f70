"""Tests of the peers in Go, which nothing else of the tests builds."""

from pathlib import Path

import pytest

from bench import testbed
from bench.contenders import CONTENDERS, GoPeer
from bench.measurement import Measurement
from bench.scenarios import SCENARIOS, RequestBatches
from tests.support.programs import skip_or_fail

PLAN = testbed.QUICK._replace(
    customers=200, warm_up_requests=20, fixed_rate_seeds=1, fixed_rate_seconds=0.1
)


# The build takes a minute of CPU time where nothing of it is cached.
@pytest.mark.timeout(1200)
def test_go_peers(tmp_path: Path) -> None:
    """The peers in Go build with the contract as it is, and give each scenario's responses."""
    bed = testbed.Testbed(tmp_path, PLAN, postgres=None)
    batches = RequestBatches(bed)
    peers = [each for each in CONTENDERS if isinstance(each, GoPeer)]
    if reason := peers[0].skip_reason():
        skip_or_fail(reason)
    for peer in peers:
        folder = tmp_path / peer.slug
        folder.mkdir()
        peer.prepare(bed, folder)
        with peer.serve(bed, folder) as servers:
            for scenario in SCENARIOS:
                if scenario.key in peer.scenarios:
                    name = f"test of {peer.slug}"
                    # It raises an error for a wrong response.
                    Measurement(bed, batches, peer, servers, scenario, name).latencies_at(100)
