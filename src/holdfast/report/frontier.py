"""The plot of the Pareto front: learned upwards, lost from right to left, one line through each recipe's doses."""

from __future__ import annotations

import io
import os
import secrets
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from holdfast.bench.compare.tradeoff_record import RecipeRow, TradeOff
from holdfast.bench.measured.outcome import Amount
from holdfast.core.errors import HoldfastError

MARKS = "osD^vPX*<>hp"
NAMED = 11
"""Number of recipes in the legend: ten colors, and plain training in black. The others are grey."""


def draw(record: TradeOff, folder: Path, name: str = "frontier") -> list[Path]:
    """Draws a trade-off as PNG and SVG, and returns the files.

    Args:
        record: The trade-off.
        folder: Folder of the files.
        name: Name of the files without their endings.

    Raises:
        HoldfastError: matplotlib is not installed, or the files cannot be written.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise HoldfastError("Plots need matplotlib: pip install matplotlib.") from error
    written = []
    folder.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"svg.hashsalt": "holdfast", "text.parse_math": False}):  # $ in a name is no formula
        figure = _figure(record)
        for kind in ("png", "svg"):
            out = io.BytesIO()
            figure.savefig(out, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else {"Software": None})
            written.append(_write(folder / f"{name}.{kind}", out.getvalue()))
    return written


def _figure(record: TradeOff) -> Any:
    """Returns the plot of a trade-off."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 5.6), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.add_subplot()
    named = [row.recipe for row in _worth_naming(record.recipes)]
    for row in record.recipes:
        _line(axis, row, named)
    points = record.learned_unit == "points"
    if record.base is not None and points:
        axis.plot([0.0], [record.base], marker="*", ms=12, color="black", ls="none", label="base", zorder=4)
    height = record.goal + ((record.base or 0.0) if points else 0.0)
    axis.axhline(height, color="grey", lw=0.8, ls=":")
    axis.annotate("goal", (0.01, height), xycoords=("axes fraction", "data"), ha="left", va="bottom", fontsize=8)
    axis.invert_xaxis()
    axis.set_xlabel(f"lost ({record.unit}; less to the right)")
    axis.set_ylabel(f"learned ({record.learned_unit})")
    axis.grid(alpha=0.25)
    figure.legend(loc="outside right upper", fontsize=7, frameon=False)
    axis.set_title(f"{record.about.model} learns {record.about.data}", fontsize=10, loc="left")
    return figure


def _worth_naming(rows: Sequence[RecipeRow]) -> list[RecipeRow]:
    """Returns plain training and the recipes most often on the Pareto front, in the order of the table."""
    ranked = sorted(rows, key=lambda row: (row.recipe != "plain", -row.front_share))
    chosen = [id(row) for row in ranked[:NAMED]]
    return [row for row in rows if id(row) in chosen]


def _line(axis: Any, row: RecipeRow, named: Sequence[str]) -> None:
    points = sorted(row.doses, key=lambda dose: dose.rate or 0.0)
    lost, learned = [dose.lost for dose in points], [dose.learned for dose in points]
    x, y = [amount.value for amount in lost], [amount.value for amount in learned]
    if row.recipe not in named:
        axis.plot(x, y, color="lightgrey", lw=0.8, marker=".", ms=4, zorder=1)
        return
    place = [name for name in named if name != "plain"].index(row.recipe) if row.recipe != "plain" else -1
    color = "black" if place < 0 else f"C{place % 10}"
    axis.errorbar(
        x,
        y,
        xerr=_error(lost),
        yerr=_error(learned),
        color=color,
        marker=MARKS[place % len(MARKS)],
        ms=5,
        lw=1.8 if row.recipe == "plain" else 1.1,
        elinewidth=0.6,
        label="\n".join(textwrap.wrap(row.recipe, 48)),
        zorder=3,
    )


def _error(amounts: Sequence[Amount]) -> list[list[float]] | None:
    ends = [(amount.value, amount.low, amount.high) for amount in amounts]
    if any(low is None or high is None for _, low, high in ends):
        return None
    return [
        [max(0.0, value - low) for value, low, _ in ends if low is not None],
        [max(0.0, high - value) for value, _, high in ends if high is not None],
    ]


def _write(path: Path, data: bytes) -> Path:
    partial = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise HoldfastError(f"Cannot write {path}: {error.strerror or error}; choose another folder.") from error
    return path
