"""The server that tests have in the way to serve that they run on: SERVE, or by grpcio."""

import os

import pytest

from tests.support.in_process import InProcessServer
from tests.support.inside_envoy import ServerInsideEnvoy

SERVE = os.environ.get("SERVE", "workers")

Server: type[InProcessServer] = {
    "workers": InProcessServer,
    "inprocess": ServerInsideEnvoy,
}[SERVE]

# For what grpcio's own answers are, where Envoy's differ.
of_grpcio = pytest.mark.skipif(SERVE == "inprocess", reason="Envoy answers in place of grpcio")
# For what is so of workers: their number, and the calls that are sent to them.
of_workers = pytest.mark.skipif(SERVE == "inprocess", reason="there are no workers")
