"""The words on what changed: how certain it is, and how large."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape

from holdfast.stats.size import FINE, LEAST, could_see

SHORT = {"not enough evidence": "unsettled"}
"""Words that are too long for a column."""
UNITS = {"points": "points", "nats": "nats per token"}


def number(value: float, unit: str, sign: str = "") -> str:
    """Returns a number in its unit's places: one for points, three for nats; with `sign` "+" also where positive."""
    return f"{value:{sign}.{1 if unit == 'points' else 3}f}"


def reading(suite: Mapping[str, Any]) -> str:
    """Returns in a few words what the interval of a suite says.

    Only what lies outside zero is called a change, and `tiny` where it is smaller than what is of interest
    (`holdfast.stats.size.LEAST`). Where nothing is certain, it says what could not have been seen, unless that is small
    enough (`FINE`) to say that no change was.
    """
    if "low" not in suite:
        return "not enough documents"
    unit = suite.get("unit", "nats")
    gains = suite["low"] > 0 if unit == "points" else suite["high"] < 0
    losses = suite["high"] < 0 if unit == "points" else suite["low"] > 0
    if not (gains or losses):
        blind = could_see(suite["low"], suite["high"])
        if blind <= FINE[unit]:
            return "no change seen"
        return f"cannot detect less than {_round(blind)} {unit}"
    if abs(suite["change"]) < LEAST[unit]:
        return "tiny gain" if gains else "tiny loss"
    retained = suite["role"] == "retained"
    return ("better" if retained else "learned") if gains else "lost" if retained else "worse"


def _round(value: float) -> str:
    """Returns a number with two digits, as in 16, 3.4 or 0.062."""
    return f"{value:.0f}" if value >= 9.95 else f"{value:.{max(0, 1 - math.floor(math.log10(value)))}f}"


def words_of(judged: Mapping[str, Any] | None, learned: Mapping[str, Any] | None) -> dict[str, str]:
    """Returns the word on each suite that the verdict or the word on learning is about, by its name.

    Args:
        judged: The verdict, as in result.json.
        learned: The word on what was learned, likewise.
    """
    found = {name: said["word"] for name, said in (judged or {"suites": {}})["suites"].items()}
    for entry in (learned or {"of": []})["of"]:
        if len(entry["suites"]) == 1:
            found[entry["suites"][0]] = entry["word"]
    return {name: SHORT.get(word, word) for name, word in found.items()}


def learned_lines(learned: Mapping[str, Any]) -> list[str]:
    """Returns the word on what was learned, in a line for each unit in which it was measured."""
    if not learned["of"]:
        return ["[bold]Learning: not measured[/bold] (name questions or examples of the task with --test)"]
    return [_learned(entry, learned.get("put_back_to")) for entry in learned["of"]]


def _learned(entry: Mapping[str, Any], put_back: str | None) -> str:
    unit = entry["unit"]
    ends = f" \\[{number(entry['low'], unit, '+')}, {number(entry['high'], unit, '+')}]" if "low" in entry else ""
    better = "" if unit == "points" else " better"
    names = ", ".join(map(escape, entry["suites"]))
    gain = f"{number(entry['gain'], unit, '+')}{ends} {UNITS[unit]}{better}"
    said = f"[bold]Learning: {entry['word']}[/bold] ({names}: {gain}"
    reached = entry.get("reached", 0.0)
    taken = f"of the {number(reached, unit)} that it had learned before the guard took it back" if reached else ""
    if put_back is not None:
        return f"{said}; the guard put the model back to where it started)"
    if entry["word"] == "learned":
        return f"{said}, {min(entry['gain'] / reached, 9.99):.0%} {taken})" if taken else f"{said})"
    if "low" not in entry:
        return f"{said}; one document has no interval)"
    if entry["high"] < 0:
        return f"{said}; it got worse)"
    least = f"{number(entry['least'], unit)} {UNITS[unit]}"
    if taken and entry["least"] > LEAST[unit]:
        least += f", a quarter {taken}" if abs(entry["least"] - reached / 4) < 1e-9 else ""
    said += {
        "learned little": f"; little is below {least}",
        "not learned": f"; if anything, less than {least}",
        "not enough evidence": f"; it may be nothing, or more than {least}",
    }[entry["word"]]
    return f"{said})"


def parts_line(mean: Mapping[str, Any]) -> list[str]:
    """Returns what of a mean change some suites gained and others lost, where both are of interest."""
    unit = mean["unit"]
    if min(mean.get("gained", 0.0), mean.get("lost", 0.0)) < LEAST[unit]:
        return []
    up, down = mean["gained_in"], mean["lost_in"]
    return [
        f"    in that mean, {len(up)} suite{'s' if len(up) > 1 else ''} gained {number(mean['gained'], unit)} (most: "
        f"{escape(up[0])}) and {len(down)} lost {number(mean['lost'], unit)} (most: {escape(down[0])})"
    ]


def alone_line(own: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    """Returns which suites lost too much by their own test, but not for certain among all that were looked at."""
    alone = [escape(name) for name in names if own[name].get("alone") == "forgot"]
    if not alone:
        return []
    return [
        f"  tested alone, {', '.join(alone)} lost more than the budget; with {len(own)} suites tested that can be "
        "chance, so it is called neither kept nor forgot"
    ]
