"""Draws a bar chart of GET by id: throughput and CPU time per request."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.contenders import CONTENDERS
from bench.report import format_number
from bench.results import Results, ScenarioStats

_SERVICE, _BASELINE, _PEER = "#1f5fa8", "#8a8f98", "#c9ced6"
_INCHES_PER_BAR = 0.34

# Equal results make equal files, and text stays text.
_STYLE: Any = {"svg.hashsalt": "bench", "svg.fonttype": "none", "font.size": 9}


def draw_chart(results: Results, path: Path) -> None:
    """Writes an SVG file with a bar for each contender, if GET by id was measured."""
    names = [each.name for each in CONTENDERS if (each.name, "get") in results.scenario_stats]
    if not names:
        return
    with rc_context(_STYLE):
        figure = Figure(figsize=(10, 1 + _INCHES_PER_BAR * len(names)), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        # The first contender is on top.
        left.invert_yaxis()
        _draw_bars(left, results, names, "requests per second", lambda stats: stats.throughput)
        _draw_bars(right, results, names, "CPU per request, µs", lambda stats: stats.cpu)
        figure.suptitle("GET by id", x=0.01, ha="left", weight="bold")
        figure.savefig(path, metadata={"Date": None})


def _draw_bars(
    axes: Axes,
    results: Results,
    names: list[str],
    title: str,
    statistic: Callable[[ScenarioStats], float],
) -> None:
    values = [statistic(results.stats(name, "get")) for name in names]
    bars = axes.barh(names, values, color=[_color(name) for name in names])
    axes.bar_label(bars, labels=[format_number(each) for each in values], padding=3)
    axes.set_title(title, loc="left")
    axes.set_xlim(0, max(values) * 1.15)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.tick_params(left=False, bottom=False, labelbottom=False)


def _color(name: str) -> str:
    if name.startswith("service"):
        return _SERVICE
    return _BASELINE if name.startswith("baseline") else _PEER
