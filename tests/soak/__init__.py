"""Proofs of what the service promises, of any length, run by `python -m tests.soak`."""
