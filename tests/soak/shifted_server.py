"""A server whose clock is set while it runs: `python -m tests.soak.shifted_server serve`.

The file of the environment variable CLOCK says by how many seconds the clock is wrong. What
Python tells of the time follows it, and so do the times in ids.
"""

import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import time_machine
import uuid_utils

from tests.support.server_process import wait_until

CLOCK = "CLOCK"

_POLL_SECONDS = 0.01


class Clock:
    """The clock of a server, which is right at first."""

    def __init__(self, folder: Path) -> None:
        self._asked, self._shown = folder / "clock", folder / "clock-shown"
        self.shift = 0.0

    @property
    def options(self) -> dict[str, Any]:
        """How a server is started that has the clock."""
        return {"program": __name__, CLOCK: str(self._asked)}

    def now(self) -> float:
        """What the clock shows."""
        return time.time() + self.shift

    def set(self, shift: float) -> None:
        """Has the clock be ahead by some seconds, or behind if they are negative."""
        self.shift = shift
        replaced = self._asked.with_suffix(".new")
        replaced.write_text(str(shift))
        replaced.rename(self._asked)
        wait_until(lambda: self._shown.exists() and self._shown.read_text() == str(shift))


def _follow(asked: Path, traveller: time_machine.Traveller) -> None:
    """Sets the clock as often as the file asks for something else."""
    shift = "0"
    while True:
        time.sleep(_POLL_SECONDS)
        with suppress(FileNotFoundError):
            if (wanted := asked.read_text()) != shift:
                traveller.shift(float(wanted) - float(shift))
                shift = wanted
                shown = asked.with_name(f"{asked.name}-shown")
                shown.write_text(shift)


def main() -> None:
    """Runs the command of the arguments with a clock that is set."""
    traveller = time_machine.travel(time.time()).start()
    follow = threading.Thread(
        target=_follow, args=(Path(os.environ[CLOCK]), traveller), daemon=True
    )
    follow.start()
    uuid7 = uuid_utils.uuid7
    uuid_utils.uuid7 = lambda: uuid7(nanoseconds=time.time_ns())  # type: ignore[assignment,misc]
    # Its modules take the function as they are imported.
    from twc_customer_server.__main__ import main as run  # noqa: PLC0415

    run()


if __name__ == "__main__":
    main()
