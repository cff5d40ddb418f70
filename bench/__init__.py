"""Measurements that take too long for tests: the benchmark, and an import at size."""
