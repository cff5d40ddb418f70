"""Sets the metrics of what there is now, such as calls that wait, again and again."""

import logging
from collections.abc import Callable, Sequence

from twc_customer_server.concurrency.periodic import Periodic

_SECONDS = 2

_log = logging.getLogger(__name__)


class Sampler:
    """Calls functions that set metrics every two seconds, from `start` to `stop`."""

    def __init__(self, samples: Sequence[Callable[[], object]]) -> None:
        self._samples = samples
        self._periodic = Periodic("sampler", _SECONDS, self._sample)

    def start(self) -> None:
        """Starts the thread."""
        self._periodic.start()

    def stop(self) -> None:
        """Waits for a sample in progress, and ends the thread."""
        self._periodic.stop()

    def _sample(self) -> None:
        for sample in self._samples:
            try:
                sample()
            except Exception as error:  # noqa: BLE001 - the others must go on
                _log.warning("metrics could not be sampled: %s", type(error).__name__)
