"""The rounds: in each of them every contender is started, measured and stopped, one by one."""

import shutil
import statistics
from collections import defaultdict
from collections.abc import Sequence

import psutil

from bench.contender import Contender
from bench.extra import Extra
from bench.figures import Figures, medians, spread
from bench.ground import Ground
from bench.measuring import Measuring
from bench.problems import BenchError
from bench.progress import Steps
from bench.results import Alone, Results
from bench.scenarios import SCENARIOS

# How long to look at what else the machine does.
_LOOK_SECONDS = 1


class Rounds:
    """Measures contenders, and what is measured of the service alone."""

    def __init__(
        self, ground: Ground, contenders: Sequence[Contender], extras: Sequence[Extra]
    ) -> None:
        reasons = {each.name: each.missing() for each in contenders}
        reasons |= {each.name: each.missing(ground) for each in extras}
        self._missing = {name: reason for name, reason in reasons.items() if reason}
        self._contenders = [each for each in contenders if each.name not in self._missing]
        self._extras = [each for each in extras if each.name not in self._missing]
        self._ground = ground
        self._measuring = Measuring(ground)
        self._figures: defaultdict[tuple[str, str], list[Figures]] = defaultdict(list)
        self._busy: list[float] = []
        self._measured: defaultdict[Alone, list[float]] = defaultdict(list)

    @property
    def steps(self) -> int:
        """How many steps there are to tell of."""
        once = sum(each.is_long for each in self._extras)
        every = len(self._contenders) + len(self._extras) - once
        return len(self._contenders) + self._ground.plan.rounds * every + once

    def run(self, steps: Steps) -> Results:
        """Measures everything. Raises BenchError."""
        for contender in self._contenders:
            steps.begin(f"filling the database of {contender.name}")
            folder = self._ground.folder / contender.slug
            folder.mkdir()
            contender.prepare(self._ground, folder)
        rounds = self._ground.plan.rounds
        for number in range(1, rounds + 1):
            title = f"round {number} of {rounds}"
            self._busy.append(psutil.cpu_percent(_LOOK_SECONDS) / 100)
            for contender in self._contenders:
                steps.begin(f"{title}: {contender.name}")
                self._round(contender, f"round {number}", steps)
            for extra in self._extras:
                if not extra.is_long:
                    steps.begin(f"{title}: {extra.name}")
                    self._extra(extra, steps)
            self._measuring.batches.forget()
        for extra in self._extras:
            if extra.is_long:
                steps.begin(extra.name)
                self._extra(extra, steps)
        return Results(
            {key: medians(each) for key, each in self._figures.items()},
            {name: statistics.median(each) for name, each in self._measured.items()},
            self._missing,
            [spread([each.cpu for each in measured]) for measured in self._figures.values()],
            max(self._busy),
        )

    def _round(self, contender: Contender, name: str, steps: Steps) -> None:
        folder = self._ground.folder / contender.slug
        with contender.serving(self._ground, folder) as serving:
            for scenario in SCENARIOS:
                if scenario.key in contender.scenarios:
                    steps.tell(scenario.title)
                    try:
                        figures = self._measuring.measure(contender, serving, scenario, name)
                    except BenchError as error:
                        problem = f"{contender.name}, {scenario.title}: {error}"
                        raise type(error)(problem) from error
                    self._figures[contender.name, scenario.key].append(figures)

    def _extra(self, extra: Extra, steps: Steps) -> None:
        folder = self._ground.folder / "extra"
        folder.mkdir()
        try:
            measured = extra.measure(self._ground, folder, steps.tell)
        finally:
            shutil.rmtree(folder)
        for name, value in measured.items():
            self._measured[name].append(value)
