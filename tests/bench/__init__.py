"""Tests of the benchmark, which `make test` runs."""
