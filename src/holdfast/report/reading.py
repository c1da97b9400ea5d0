"""The words on what changed: how certain it is, and how large."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.markup import escape

from holdfast.bench.measured.outcome import LearnedUnit, Learning, SuiteRow, VerdictMean, VerdictRow, VerdictSuite
from holdfast.stats.size import FINE, LEAST, could_see

SHORT = {"not enough evidence": "unsettled"}
"""Words that are too long for a column."""
UNITS = {"points": "points", "nats": "nats per token"}


def number(value: float | None, unit: str, sign: str = "") -> str:
    """Returns a number in its unit's places: one for points, three for nats; with `sign` "+" also where positive."""
    if value is None:
        return ""
    return f"{value:{sign}.{1 if unit == 'points' else 3}f}"


def reading(suite: SuiteRow) -> str:
    """Returns in a few words what the interval of a suite says.

    Only what lies outside zero is called a change, and `tiny` where it is smaller than what is of interest
    (`holdfast.stats.size.LEAST`). Where nothing is certain, it says what could not have been seen, unless that is small
    enough (`FINE`) to say that no change was.
    """
    if suite.low is None or suite.high is None:
        return "not enough documents"
    unit = suite.unit
    above, below = suite.low > 0, suite.high < 0
    gains, losses = (above, below) if unit == "points" else (below, above)
    if not (gains or losses):
        blind = could_see(suite.low, suite.high)
        return "no change seen" if blind <= FINE[unit] else f"cannot detect less than {_round(blind)} {unit}"
    if abs(suite.change) < LEAST[unit]:
        return "tiny gain" if gains else "tiny loss"
    retained = suite.role == "retained"
    return ("better" if retained else "learned") if gains else "lost" if retained else "worse"


def _round(value: float) -> str:
    """Returns a number with two digits, as in 16, 3.4 or 0.062."""
    return f"{value:.0f}" if value >= 9.95 else f"{value:.{max(0, 1 - math.floor(math.log10(value)))}f}"


def words_of(judged: VerdictRow | None, learned: Learning | None) -> dict[str, str]:
    """Returns the word on each suite that the verdict or the word on learning is about, by its name."""
    found: dict[str, str] = {} if judged is None else {name: said.word for name, said in judged.suites.items()}
    for entry in () if learned is None else learned.units:
        if len(entry.suites) == 1:
            found[entry.suites[0]] = entry.word
    return {name: SHORT.get(word, word) for name, word in found.items()}


def learned_lines(learned: Learning) -> list[str]:
    """Returns the word on what was learned, in a line for each unit in which it was measured."""
    if not learned.units:
        return ["[bold]Learning: not measured[/bold] (name questions or examples of the task with --test)"]
    return [_learned(entry, put_back=learned.put_back_to is not None) for entry in learned.units]


def _learned(entry: LearnedUnit, *, put_back: bool) -> str:
    unit = entry.unit
    ends = "" if entry.low is None else f" \\[{number(entry.low, unit, '+')}, {number(entry.high, unit, '+')}]"
    better = "" if unit == "points" else " better"
    names = ", ".join(map(escape, entry.suites))
    gain = f"{number(entry.gain, unit, '+')}{ends} {UNITS[unit]}{better}"
    said = f"[bold]Learning: {entry.word}[/bold] ({names}: {gain}"
    if put_back:
        return f"{said}; the guard put the model back to where it started)"
    taken = f"of the {number(entry.reached, unit)} that it had learned before the guard took it back"
    if entry.word == "learned":
        return f"{said}, {min(entry.gain / entry.reached, 9.99):.0%} {taken})" if entry.reached else f"{said})"
    return f"{said}; {_why(entry, taken if entry.reached else '')})"


def _why(entry: LearnedUnit, taken: str) -> str:
    """Returns why it is not said to have learned; `taken` says what it had learned before it was taken back, if so."""
    if entry.low is None or entry.high is None:
        return "one document has no interval"
    if entry.high < 0:
        return "it got worse"
    least = f"{number(entry.least, entry.unit)} {UNITS[entry.unit]}"
    if taken and entry.least > LEAST[entry.unit] and abs(entry.least - (entry.reached or 0.0) / 4) < 1e-9:
        least += f", a quarter {taken}"
    return {
        "learned little": f"little is below {least}",
        "not learned": f"if anything, less than {least}",
        "not enough evidence": f"it may be nothing, or more than {least}",
    }[entry.word]


def parts_line(mean: VerdictMean) -> list[str]:
    """Returns what of a mean change some suites gained and others lost, where both are of interest."""
    unit = mean.unit
    if min(mean.gained, mean.lost) < LEAST[unit]:
        return []
    up, down = mean.gained_in, mean.lost_in
    return [
        f"    in that mean, {len(up)} suite{'s' if len(up) > 1 else ''} gained {number(mean.gained, unit)} (most: "
        f"{escape(up[0])}) and {len(down)} lost {number(mean.lost, unit)} (most: {escape(down[0])})"
    ]


def alone_line(own: Mapping[str, VerdictSuite], names: Sequence[str]) -> list[str]:
    """Returns which suites lost too much by their own test, but not for certain among all that were looked at."""
    alone = [escape(name) for name in names if own[name].alone == "forgot"]
    if not alone:
        return []
    return [
        f"  tested alone, {', '.join(alone)} lost more than the budget; with {len(own)} suites tested that can be "
        "chance, so it is called neither kept nor forgot"
    ]
