"""Tests of the Customer API, from pure rules to the running service."""

import os

# Before gRPC is loaded: tests start the service from a process whose threads use
# gRPC, whose handlers of a fork would then end what was forked before it is
# another program.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "false"
