"""The reliability diagram: accuracy over confidence, before and after, with the number of items in each bin."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from holdfast.bench.machine.files import write_atomically
from holdfast.bench.measured.calibration_record import BinSide, CalibrationRow, SuiteCalibration
from holdfast.core.errors import HoldfastError
from holdfast.stats.share import Share, share

FILE = "reliability.svg"
"""Name of the file."""
PANELS = 8
"""Most diagrams in one file."""
SIDES = (("before", "#888888", "o"), ("after", "C0", "s"))
"""Each side of a diagram with its color and its mark."""


def draw_reliability(record: CalibrationRow | None, folder: Path, title: str) -> Path | None:
    """Draws the reliability diagrams of a record as an SVG, and returns the file.

    The first diagram has all choices of the retained suites together, if there are several such suites; then comes a
    diagram for each suite, those with most items first. A sentence below says how many suites are left out.

    Args:
        record: The calibration; nothing is drawn without choices.
        folder: Folder of the file.
        title: Title of the drawing.

    Returns:
        None if nothing was drawn.

    Raises:
        HoldfastError: matplotlib is not installed, or the file cannot be written.
    """
    if record is None or not record.suites:
        return None
    try:
        import matplotlib
    except ImportError as error:
        raise HoldfastError("Plots need matplotlib: pip install matplotlib.") from error
    out = io.BytesIO()
    # A $ in a name begins no formula.
    with matplotlib.rc_context({"svg.hashsalt": "holdfast", "svg.fonttype": "none", "text.parse_math": False}):
        _figure(record, title).savefig(out, format="svg", metadata={"Date": None})
    path = folder / FILE
    write_atomically(path, out.getvalue().decode())
    return path


def _figure(record: CalibrationRow, title: str) -> Any:
    """Returns the diagrams under a title."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown, left_out = _shown(record)
    rows = math.ceil(len(shown) / 4)
    columns = math.ceil(len(shown) / rows)
    figure = Figure(figsize=(0.6 + 3.6 * columns, 0.9 + 4.2 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    grid = figure.add_gridspec(2 * rows, columns, height_ratios=[3, 1] * rows)
    for place, suite in enumerate(shown):
        row, column = divmod(place, columns)
        upper = figure.add_subplot(grid[2 * row, column])
        lower = figure.add_subplot(grid[2 * row + 1, column], sharex=upper)
        _diagram(upper, lower, suite)
    if left_out:
        figure.supxlabel(f"{left_out} suites with fewer items are not drawn", fontsize=8, color="grey")
    return figure


def _shown(record: CalibrationRow) -> tuple[list[SuiteCalibration], int]:
    """Returns the calibrations to draw, and the number of suites that are left out."""
    first = [] if record.retained is None else [record.retained]
    ranked = sorted(record.suites, key=lambda suite: -suite.items)[: PANELS - len(first)]
    kept = [suite for suite in record.suites if suite in ranked]
    return [*first, *kept], len(record.suites) - len(kept)


def _diagram(upper: Any, lower: Any, suite: SuiteCalibration) -> None:
    """Draws the accuracy over the confidence above, and the numbers of items below."""
    upper.plot([0, 1], [0, 1], color="black", lw=0.8, ls=":", label="calibrated")
    width = 0.4 * (suite.bins[0].high - suite.bins[0].low)
    for place, (name, color, mark) in enumerate(SIDES):
        sides = [getattr(bin_, name) for bin_ in suite.bins]
        _points(upper, [side for side in sides if side.items], name, color, mark)
        left = [(bin_.low + bin_.high) / 2 + (place - 1) * width for bin_ in suite.bins]
        bars = lower.bar(left, [side.items for side in sides], width, align="edge", color=color)
        counts = [f"{side.items:,}" if side.items else "" for side in sides]
        lower.bar_label(bars, counts, fontsize=6, rotation=90, padding=1)
    upper.set_title(_heading(suite), fontsize=8, loc="left")
    upper.set_ylabel("accuracy (share of right answers)", fontsize=8)
    upper.set_xlim(0, 1)
    upper.set_ylim(-0.02, 1.02)
    upper.grid(alpha=0.25)
    upper.legend(fontsize=7, frameon=False, loc="upper left")
    upper.tick_params(labelsize=7, labelbottom=False)
    lower.set_ylabel("items", fontsize=8)
    lower.set_xlabel("confidence (probability of the picked choice)", fontsize=8)
    lower.margins(y=0.45)
    lower.tick_params(labelsize=7)


def _points(axis: Any, sides: Sequence[BinSide], name: str, color: str, mark: str) -> None:
    """Draws the accuracy of each bin at its mean confidence, with its 95% interval."""
    x, y = [side.confidence or 0.0 for side in sides], [side.accuracy or 0.0 for side in sides]
    ends = [_wilson(accuracy, side.items) for accuracy, side in zip(y, sides, strict=True)]
    errors = [
        [max(0.0, accuracy - end.low) for accuracy, end in zip(y, ends, strict=True)],
        [max(0.0, end.high - accuracy) for accuracy, end in zip(y, ends, strict=True)],
    ]
    axis.errorbar(x, y, yerr=errors, color=color, marker=mark, ms=4, lw=1.2, elinewidth=0.7, label=name)


def _wilson(accuracy: float, items: int) -> Share:
    right = round(accuracy * items)
    return share([1] * right + [0] * (items - right), range(items))


def _heading(suite: SuiteCalibration) -> str:
    if suite.ece is None:
        return f"{suite.name}: {suite.items:,} items"
    return f"{suite.name}: {suite.items:,} items\nECE {suite.ece.before.value:.3f} -> {suite.ece.after.value:.3f}"
