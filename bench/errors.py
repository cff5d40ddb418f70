"""Errors that end a benchmark."""


class BenchError(Exception):
    """A precondition of the benchmark is missing, or a step failed; the message says which."""


class WrongResponseError(BenchError):
    """A contender gave a response that is not the expected one, so its figures are void."""
