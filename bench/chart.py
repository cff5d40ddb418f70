"""Draws a bar chart of how many requests the service and its peers serve a second."""

from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.contenders import (
    FASTAPI,
    GO_GRPC,
    GO_REST,
    INPROCESS_GRPC,
    INPROCESS_REST,
    LITESTAR,
    SERVICE_GRPC,
    SERVICE_REST,
)
from bench.report import format_number
from bench.results import Results

_TITLE = "Customers served per second on the same machine (more is better)"
_SCENARIOS = {"get": "Read one customer", "create": "Create a customer"}
# The names of bars, in their order, by those of contenders.
_NAMES = {
    SERVICE_REST: "Customer API, REST",
    INPROCESS_REST: "Customer API inside Envoy, REST",
    LITESTAR: "Litestar, REST",
    FASTAPI: "FastAPI, REST",
    GO_REST: "Go, REST",
    SERVICE_GRPC: "Customer API, gRPC",
    INPROCESS_GRPC: "Customer API inside Envoy, gRPC",
    GO_GRPC: "Go, gRPC",
}
_OWN = {SERVICE_REST, SERVICE_GRPC, INPROCESS_REST, INPROCESS_GRPC}
_OWN_COLOR, _OTHER_COLOR = "#1f5fa8", "#c9ced6"

# Equal results make equal files, and text stays text.
_STYLE: Any = {"svg.hashsalt": "bench", "svg.fonttype": "none", "font.size": 10}


def draw_chart(results: Results, path: Path) -> None:
    """Writes an SVG file with a bar for each contender that was measured, if there is one."""
    names = [name for name in _NAMES if (name, "get") in results.scenario_stats]
    if not names:
        return
    with rc_context(_STYLE):
        figure = Figure(figsize=(10, 1 + 0.4 * len(names)), layout="constrained")
        panels = figure.subplots(1, len(_SCENARIOS), sharey=True)
        # The first contender is on top.
        panels[0].invert_yaxis()
        for axes, scenario in zip(panels, _SCENARIOS, strict=True):
            _draw_bars(axes, results, names, scenario)
        figure.suptitle(_TITLE, x=0.01, ha="left", weight="bold")
        figure.savefig(path, metadata={"Date": None})


def _draw_bars(axes: Axes, results: Results, names: list[str], scenario: str) -> None:
    values = [results.stats(name, scenario).throughput for name in names]
    colors = [_OWN_COLOR if name in _OWN else _OTHER_COLOR for name in names]
    bars = axes.barh([_NAMES[name] for name in names], values, color=colors)
    axes.bar_label(bars, labels=[f"{format_number(each)}/s" for each in values], padding=3)
    axes.set_title(_SCENARIOS[scenario], loc="left")
    axes.set_xlim(0, max(values) * 1.25)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.tick_params(left=False, bottom=False, labelbottom=False)
