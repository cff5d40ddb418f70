"""Proofs that run, as long as they are told to, of what the service promises: `make soak`."""
