"""What takes too long for tests: a proof of imports at size, and the benchmark."""
