"""GET by id as a picture: how many requests a second, and what each costs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.contenders import CONTENDERS
from bench.figures import Figures
from bench.results import Results
from bench.tables import number

_SERVICE, _FLOOR, _PEER = "#1f5fa8", "#8a8f98", "#c9ced6"
_INCHES_A_BAR = 0.34

# The same picture for the same figures, and text that is text.
_STYLE: Any = {"svg.hashsalt": "bench", "svg.fonttype": "none", "font.size": 9}


def draw(results: Results, path: Path) -> None:
    """Draws a bar for each contender, the service's own in colour."""
    names = [each.name for each in CONTENDERS if (each.name, "get") in results.figures]
    if not names:
        return
    with rc_context(_STYLE):
        figure = Figure(figsize=(10, 1 + _INCHES_A_BAR * len(names)), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        # The first on top; the other axes share it.
        left.invert_yaxis()
        _bars(left, results, names, "requests per second", lambda each: each.rate)
        _bars(right, results, names, "CPU per request, µs", lambda each: each.cpu)
        figure.suptitle("GET by id", x=0.01, ha="left", weight="bold")
        figure.savefig(path, metadata={"Date": None})


def _bars(
    axes: Axes, results: Results, names: list[str], title: str, value: Callable[[Figures], float]
) -> None:
    values = [value(results.of(name, "get")) for name in names]
    bars = axes.barh(names, values, color=[_colour(name) for name in names])
    axes.bar_label(bars, labels=[number(each) for each in values], padding=3)
    axes.set_title(title, loc="left")
    axes.set_xlim(0, max(values) * 1.15)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.tick_params(left=False, bottom=False, labelbottom=False)


def _colour(name: str) -> str:
    if name.startswith("service"):
        return _SERVICE
    return _FLOOR if name.startswith("floor") else _PEER
