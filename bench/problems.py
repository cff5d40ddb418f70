"""Why a benchmark cannot go on."""


class BenchError(Exception):
    """Something that the benchmark needs is not there, or fails; the message says what."""


class WrongAnswerError(BenchError):
    """What is measured answers other than it should: its speed says nothing."""
