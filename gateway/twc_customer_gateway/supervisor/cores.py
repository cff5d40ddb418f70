"""Chooses the cores that workers are pinned to."""

import os
from collections.abc import Iterator
from itertools import cycle

from twc_customer_gateway.supervisor.stack_settings import StackSettings


def of_each(settings: StackSettings) -> Iterator[int | None]:
    """Yields the cores to pin workers to, in turn; None for workers that choose.

    The threads of a worker, of which one runs Python at a time, hinder one
    another on several cores: a call takes half as long again. Where more than
    one core would be left, for Envoy, workers choose, because others may, too.
    """
    if not settings.pin_workers or not hasattr(os, "sched_getaffinity"):
        return cycle([None])
    cores = sorted(os.sched_getaffinity(0))
    return cycle(cores if len(settings.worker_sockets) >= len(cores) - 1 else [None])
