"""The frontier plot: learned upwards, lost from right to left, a line a recipe through its doses."""

from __future__ import annotations

import io
import os
import secrets
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.core.errors import HoldfastError

MARKS = "osD^vPX*<>hp"
NAMED = 11
"""Recipes that are named in the legend: ten colours, and plain training in black. The others are drawn in grey."""


def draw(found: Mapping[str, Any], folder: Path, name: str = "frontier") -> list[Path]:
    """Draws a trade-off as PNG and SVG, and returns the files.

    Args:
        found: As `holdfast.bench.tradeoff.tradeoff` returns it, or anything with `recipes` that have `doses`.
        folder: Where they are put.
        name: Of the files, without their endings.

    Raises:
        HoldfastError: matplotlib is not there, or the files cannot be written.
    """
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise HoldfastError("Plots need matplotlib: pip install matplotlib.") from error
    figure = Figure(figsize=(10.0, 5.6), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.add_subplot()
    named = [row["recipe"] for row in _worth_naming(found["recipes"])]
    for row in found["recipes"]:
        _line(axis, row, named)
    base = found.get("base")
    if base is not None and found.get("learned_unit") == "points":
        axis.plot([0.0], [base], marker="*", ms=12, color="black", ls="none", label="base", zorder=4)
    if "goal" in found:
        height = found["goal"] + (base or 0.0) * (found["learned_unit"] == "points")
        axis.axhline(height, color="grey", lw=0.8, ls=":")
        axis.annotate("goal", (0.01, height), xycoords=("axes fraction", "data"), ha="left", va="bottom", fontsize=8)
    axis.invert_xaxis()
    axis.set_xlabel(f"lost ({found['unit']}; the further right, the less)")
    axis.set_ylabel(f"learned ({found['learned_unit']})")
    axis.grid(alpha=0.25)
    figure.legend(loc="outside right upper", fontsize=7, frameon=False)
    if "about" in found:
        axis.set_title(f"{found['about']['model']} learns {found['about']['data']}", fontsize=10, loc="left")
    written = []
    folder.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"svg.hashsalt": "holdfast"}):
        for kind in ("png", "svg"):
            out = io.BytesIO()
            figure.savefig(out, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else {"Software": None})
            written.append(_write(folder / f"{name}.{kind}", out.getvalue()))
    return written


def _worth_naming(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Returns plain training and the recipes that are most surely on the front, in the order of the table."""
    ranked = sorted(rows, key=lambda row: (row["recipe"] != "plain", -row.get("front", 0.0)))
    chosen = [id(row) for row in ranked[:NAMED]]
    return [row for row in rows if id(row) in chosen]


def _line(axis: Any, row: Mapping[str, Any], named: Sequence[str]) -> None:
    points = sorted(row["doses"], key=lambda dose: dose.get("rate", 0.0))
    x, y = ([point[name]["value"] for point in points] for name in ("lost", "learned"))
    if row["recipe"] not in named:
        axis.plot(x, y, color="lightgrey", lw=0.8, marker=".", ms=4, zorder=1)
        return
    place = [name for name in named if name != "plain"].index(row["recipe"]) if row["recipe"] != "plain" else -1
    color = "black" if place < 0 else f"C{place % 10}"
    errors = [_error(points, name) for name in ("lost", "learned")]
    axis.errorbar(
        x,
        y,
        xerr=errors[0],
        yerr=errors[1],
        color=color,
        marker=MARKS[place % len(MARKS)],
        ms=5,
        lw=1.8 if row["recipe"] == "plain" else 1.1,
        elinewidth=0.6,
        label="\n".join(textwrap.wrap(row["recipe"], 48)),
        zorder=3,
    )


def _error(points: Sequence[Mapping[str, Any]], name: str) -> list[list[float]] | None:
    if not all("low" in point[name] for point in points):
        return None
    return [
        [max(0.0, point[name]["value"] - point[name]["low"]) for point in points],
        [max(0.0, point[name]["high"] - point[name]["value"]) for point in points],
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
