"""The plots of a page as specifications in Vega-Lite, each with its numbers as a table.

Colors are variables of the page's style sheet, which has them for light, for dark and for paper.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.bench.compare.tradeoff_record import DoseRow, RecipeRow, TradeOff
from holdfast.bench.measured.outcome import Amount, SuiteRow, VerdictRow
from holdfast.report.page.blocks import Chart, Table
from holdfast.report.page.clean import name
from holdfast.report.reading import UNITS, number

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
WIDTH = 720
"""Width of a plot in pixels; the page shrinks it to its own width."""
MOST_SUITES = 40
"""Suites in a plot of changes; the table has all."""
COLORS = [f"var(--series-{i})" for i in range(1, 9)]
GREY = "var(--muted)"
SHAPES = ["circle", "square", "diamond", "triangle-up", "cross", "triangle-down", "triangle-right", "stroke"]

Datum = dict[str, Any]


def spec_of(data: Sequence[Datum], layers: Sequence[Mapping[str, Any]], height: int, **more: Any) -> dict[str, Any]:
    """Returns a specification of layers over the same data."""
    shared = {"$schema": SCHEMA, "width": WIDTH, "height": height, "background": None, "data": {"values": list(data)}}
    return {**shared, "layer": list(layers), **more}


def tooltips(*fields: str) -> list[dict[str, str]]:
    """Returns the fields that identify a point when the pointer or the keyboard is on it."""
    return [{"field": field, "type": "nominal", "title": field} for field in fields]


def quantity(field: str, title: str, **more: Any) -> dict[str, Any]:
    """Returns the encoding of a number."""
    return {"field": field, "type": "quantitative", "title": title, **more}


def changes_chart(suites: Sequence[SuiteRow], judged: VerdictRow | None, unit: str) -> Chart | None:
    """Returns the change of each suite to keep of a unit with its interval, and the line of the budget.

    Returns:
        None for fewer than two such suites.
    """
    kept = [row for row in suites if row.unit == unit and row.role == "retained"]
    if len(kept) < 2:
        return None
    largest = sorted(kept, key=lambda row: -abs(row.change))[:MOST_SUITES]
    rows, of = [row for row in kept if row in largest], UNITS[unit]
    data: list[Datum] = []
    for row in rows:
        gain = row.gained
        ends = {} if gain.low is None else {"low": gain.low, "high": gain.high}
        said = {"suite": name(row.name), "change": _interval(gain, unit), "items": f"{row.items:,}"}
        data.append({**said, "gain": gain.value, **ends})
    y = {"field": "suite", "type": "nominal", "sort": None, "title": None, "axis": {"labelLimit": 200}}
    title = f"change in {of} (less than 0 is lost)"
    point = {"type": "point", "filled": True, "size": 70, "opacity": 1, "color": COLORS[0]}
    layers: list[dict[str, Any]] = [
        _line_at(0.0, "x"),
        {"mark": {"type": "rule", "strokeWidth": 2, "color": COLORS[0], "aria": False},
         "encoding": {"y": y, "x": quantity("low", title), "x2": {"field": "high"}}},
        {"mark": point,
         "encoding": {"y": y, "x": quantity("gain", title), "tooltip": tooltips("suite", "change", "items")}},
    ]  # fmt: skip
    if judged is not None and unit in judged.limits:
        layers.insert(1, _line_at(-judged.limits[unit], "x", "budget"))
    columns = ("suite", "change [95% interval]", "items")
    cells = [[row["suite"], row["change"], row["items"]] for row in data]
    table = Table("Numbers of the plot (more than 0 is better)", columns, cells, folded=True)
    left = len(kept) - len(rows)
    about = f"For each of {len(rows)} suites to keep the change in {of} with its 95% interval."
    about += f" {left} suites that changed less are in the table above alone." if left else ""
    spec = spec_of(data, layers, max(60, 22 * len(rows)))
    return Chart(f"What became of what should stay, in {of}", about, spec, table)


def _line_at(value: float, axis: str, label: str = "") -> dict[str, Any]:
    """Returns a line across the plot at a value, with a label if it has one."""
    rule = {"type": "rule", "strokeDash": [4, 3] if label else [1, 0], "color": "var(--bad)" if label else GREY}
    line: dict[str, Any] = {"data": {"values": [{"at": value, "label": label}]}}
    at = {axis: {"datum": value, "type": "quantitative"}}
    if not label:
        return {**line, "mark": {**rule, "aria": False}, "encoding": at}
    place: dict[str, Any] = {"align": "left", "dx": 4, "y": 8} if axis == "x" else {"align": "left", "x": 4, "dy": -6}
    text = {"type": "text", "fontSize": 11, "color": "var(--bad)", "aria": False, **place}
    return {**line, "layer": [
        {"mark": {**rule, "aria": False}, "encoding": at},
        {"mark": text, "encoding": {**at, "text": {"value": label}}},
    ]}  # fmt: skip


def _interval(amount: Amount, unit: str) -> str:
    ends = "" if amount.low is None else f" [{number(amount.low, unit, '+')}, {number(amount.high, unit, '+')}]"
    return f"{number(amount.value, unit, '+')}{ends}"


def tradeoff_chart(record: TradeOff) -> Chart:
    """Returns learned against lost: a line for each recipe, a point for each learning rate, with both intervals."""
    data: list[Datum] = []
    named = [name(row.recipe) for row in record.recipes]
    for row, label in zip(record.recipes, named, strict=True):
        for place, dose in enumerate(sorted(row.doses, key=lambda dose: dose.rate or 0.0)):
            data.append(_dose(row, dose, label, place, record))
    x = quantity("loss", f"lost ({record.unit}; less is to the right)", scale={"reverse": True, "nice": True})
    y = quantity("gain", f"learned ({record.learned_unit})", scale={"zero": False, "nice": True})
    colors = [COLORS[place % len(COLORS)] for place in range(len(named))]
    legend = {"orient": "bottom", "columns": 1, "labelLimit": WIDTH - 40, "symbolLimit": 60}
    color = {"field": "recipe", "type": "nominal", "sort": None, "title": None, "legend": legend,
             "scale": {"domain": named, "range": colors}}  # fmt: skip
    shapes = [SHAPES[(place // len(SHAPES) + place) % len(SHAPES)] for place in range(len(named))]
    shape = {"field": "recipe", "type": "nominal", "sort": None, "title": None,
             "scale": {"domain": named, "range": shapes}}  # fmt: skip
    thin = {"type": "rule", "strokeWidth": 1, "opacity": 0.45, "aria": False}
    layers: list[dict[str, Any]] = [
        {"mark": {"type": "line", "strokeWidth": 1.5, "aria": False},
         "encoding": {"x": x, "y": y, "color": color, "order": {"field": "place", "type": "quantitative"}}},
        {"mark": thin, "encoding": {"x": quantity("loss_low", x["title"]), "x2": {"field": "loss_high"}, "y": y,
                                    "color": color}},
        {"mark": thin, "encoding": {"y": quantity("gain_low", y["title"]), "y2": {"field": "gain_high"}, "x": x,
                                    "color": color}},
        {"mark": {"type": "point", "filled": True, "size": 80, "opacity": 1}, "encoding": {
            "x": x, "y": y, "color": color, "shape": shape,
            "tooltip": tooltips("recipe", "learning rate", "learned", "lost", "chosen")}},
    ]  # fmt: skip
    table = Table(
        "Numbers of the plot: every learning rate of every recipe",
        ("recipe", "learning rate", "learned", "lost", "chosen"),
        [[row[key] for key in ("recipe", "learning rate", "learned", "lost", "chosen")] for row in data],
        folded=True,
    )
    about = (
        f"What {len(named)} recipes learned against what they lost, at {len(data)} points in all. A point further up"
        " learned more, and one further to the right lost less."
    )
    return Chart("Learned against lost", about, spec_of(data, layers, 380), table)


def _dose(row: RecipeRow, dose: DoseRow, label: str, place: int, record: TradeOff) -> Datum:
    ends: Datum = {}
    for key, amount in (("loss", dose.lost), ("gain", dose.learned)):
        ends |= {} if amount.low is None else {f"{key}_low": amount.low, f"{key}_high": amount.high}
    return {
        "place": place, "loss": dose.lost.value, "gain": dose.learned.value, **ends,
        "recipe": label,
        "learning rate": "unknown" if dose.rate is None else f"{dose.rate:g}",
        "learned": _plain(dose.learned, record.learned_unit),
        "lost": _plain(dose.lost, record.unit),
        "chosen": "yes" if dose.rate == row.rate else "no",
    }  # fmt: skip


def _plain(amount: Amount, unit: str) -> str:
    ends = "" if amount.low is None else f" [{number(amount.low, unit)}, {number(amount.high, unit)}]"
    return f"{number(amount.value, unit)}{ends} {unit}"


def curve_chart(
    title: str,
    points: Sequence[tuple[str, int, float]],
    y: str,
    *,
    limit: float | None = None,
    places: int = 3,
    dots: bool = False,
) -> Chart | None:
    """Returns lines over the optimizer steps.

    Args:
        title: What the plot shows.
        points: Name of the line, step and value; values that are not finite are left out.
        y: Title of the vertical axis, with its unit.
        limit: Value of the line of the budget; none if None.
        places: Digits after the point in words.
        dots: Whether to draw the points.

    Returns:
        None without points.
    """
    data: list[Datum] = [
        {"line": name(line), "step": step, "value": value, "at": f"{step:,}", y: f"{value:.{places}f}"}
        for line, step, value in points
        if math.isfinite(value)
    ]
    if not data:
        return None
    lines = list(dict.fromkeys(row["line"] for row in data))
    color = {"field": "line", "type": "nominal", "sort": None, "title": None,
             "legend": {"orient": "top", "labelLimit": 300} if len(lines) > 1 else None,
             "scale": {"domain": lines, "range": [COLORS[i % len(COLORS)] for i in range(len(lines))]}}  # fmt: skip
    at = {"x": quantity("step", "optimizer steps", axis={"tickMinStep": 1}), "y": quantity("value", y), "color": color}
    size = {"size": 50, "opacity": 1 if dots else 0}
    layers: list[dict[str, Any]] = [
        {"mark": {"type": "line", "strokeWidth": 1.5, "aria": False}, "encoding": at},
        {"mark": {"type": "point", "filled": True, **size}, "encoding": {**at, "tooltip": tooltips("line", "at", y)}},
    ]
    if limit is not None:
        layers.insert(0, _line_at(limit, "y", "budget"))
    table = Table(
        "Numbers of the plot", ("line", "step", y), [[row["line"], row["at"], row[y]] for row in data], folded=True
    )
    about = f"{', '.join(lines)} over the optimizer steps; {len(data)} points."
    return Chart(title, about, spec_of(data, layers, 200), table)
