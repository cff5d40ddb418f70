"""How many files, connections included, the service may have open."""

import resource
from pathlib import Path

import psutil
import pytest

from tests.gateway.service import UnsharedService

# What many shells allow a program at first.
USUAL = 1024


@pytest.mark.skipif(not hasattr(psutil.Process, "rlimit"), reason="this system does not tell")
def test_open_files(tmp_path: Path) -> None:
    """Each process may have as many as the system admits, whatever the shell allows at first."""
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(USUAL, most), most))
    try:
        service = UnsharedService(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))
    with service:
        processes = [psutil.Process(service.process.pid), *service.children()]
        assert {it.rlimit(psutil.RLIMIT_NOFILE) for it in processes} == {(most, most)}
