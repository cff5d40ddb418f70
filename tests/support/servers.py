"""The server that tests have in the way to serve that they run on, and what is left out of it."""

import pytest

from tests.support.in_process import InProcessServer
from tests.support.inside_envoy import ServerInsideEnvoy
from tests.support.way_to_serve import SERVE

Server: type[InProcessServer] = {
    "workers": InProcessServer,
    "inprocess": ServerInsideEnvoy,
}[SERVE]

# Why tests are left out where the server is inside Envoy; docs/operations.md says which they are.
ENVOY_ANSWERS = "Envoy answers in place of grpcio"
NO_WORKERS = "there are no workers"
OTHER_PROCESS = "the server's process is not that of the tests"
LEFT_OUT = {ENVOY_ANSWERS, NO_WORKERS, OTHER_PROCESS}

# For what grpcio's own answers are, where Envoy's differ.
of_grpcio = pytest.mark.skipif(SERVE == "inprocess", reason=ENVOY_ANSWERS)
# For what Envoy promises of the port of native gRPC, and grpcio does not.
of_envoy = pytest.mark.skipif(SERVE != "inprocess", reason="Envoy does not serve GRPC_PORT")
# For what is so of workers: their number, and the calls that are sent to them.
of_workers = pytest.mark.skipif(SERVE == "inprocess", reason=NO_WORKERS)
# For what changes the server from within.
of_own_process = pytest.mark.skipif(SERVE == "inprocess", reason=OTHER_PROCESS)


def require_workers() -> None:
    """Skips the test if there are no workers."""
    if SERVE == "inprocess":
        pytest.skip(NO_WORKERS)
