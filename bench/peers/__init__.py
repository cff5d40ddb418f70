"""The peers of the benchmark: the API on other frameworks.

A peer serves from one process, with the rules, authentication, log and
durability of the service, so that only the code that a team would write around
them differs. `baseline` is a gRPC server without any of them.
"""
