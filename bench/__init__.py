"""Proofs at a size that the tests do not have time for."""
