"""Words for a change: how certain it is, and how large."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.markup import escape

from holdfast.bench.measured.outcome import LearnedUnit, Learning, SuiteRow, VerdictMean, VerdictRow, VerdictSuite
from holdfast.stats.size import FINE, LEAST, could_see

SHORT = {"not enough evidence": "unsettled"}
"""Short forms of words that are too long for a column."""
UNITS = {"points": "points", "nats": "nats per token"}


def short(text: str, most: int = 90) -> str:
    """Returns a text as one line of at most `most` characters."""
    line = " / ".join(text.split("\n"))
    return line if len(line) <= most else line[: most - 1] + "…"


def number(value: float | None, unit: str, sign: str = "") -> str:
    """Returns a number with one decimal for points and three for nats; `sign="+"` also marks positive numbers."""
    if value is None:
        return ""
    return f"{value:{sign}z.{1 if unit == 'points' else 3}f}"


def reading(suite: SuiteRow) -> str:
    """Returns the meaning of a suite's interval in a few words.

    An interval that excludes zero is a change, called `tiny` below the size of interest (`holdfast.stats.size.LEAST`).
    For an interval that includes zero, the text gives the smallest detectable change, or "no change seen" if that is
    small enough (`FINE`).
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
    """Returns the word of the verdict, or of learning, on each suite that it judges, by the suite's name."""
    words: dict[str, str] = {} if judged is None else {name: suite.word for name, suite in judged.suites.items()}
    for entry in () if learned is None else learned.units:
        if len(entry.suites) == 1:
            words[entry.suites[0]] = entry.word
    return {name: SHORT.get(word, word) for name, word in words.items()}


def learned_lines(learned: Learning) -> list[str]:
    """Returns a line on learning for each measured unit."""
    if not learned.units:
        return ["[bold]Learning: not measured[/bold] (give items or examples of the task with --test)"]
    return [_learned(entry, put_back=learned.put_back_to is not None) for entry in learned.units]


def _learned(entry: LearnedUnit, *, put_back: bool) -> str:
    unit = entry.unit
    ends = "" if entry.low is None else f" \\[{number(entry.low, unit, '+')}, {number(entry.high, unit, '+')}]"
    better = "" if unit == "points" else " better"
    names = ", ".join(map(escape, entry.suites))
    gain = f"{number(entry.gain, unit, '+')}{ends} {UNITS[unit]}{better}"
    sentence = f"[bold]Learning: {entry.word}[/bold] ({names}: {gain}"
    if put_back:
        return f"{sentence}; the guard went back to the model before training)"
    taken = f"of the {number(entry.reached, unit)} that it had learned before the guard went back"
    if entry.word == "learned":
        return f"{sentence}, {min(entry.gain / entry.reached, 9.99):.0%} {taken})" if entry.reached else f"{sentence})"
    return f"{sentence}; {_why(entry, taken if entry.reached else '')})"


def _why(entry: LearnedUnit, taken: str) -> str:
    """Returns the reason for a word other than "learned"; `taken` is the gain before the guard went back, in words."""
    if entry.low is None or entry.high is None:
        return "a single document gives no interval"
    if entry.high < 0:
        return "it got worse"
    least = f"{number(entry.least, entry.unit)} {UNITS[entry.unit]}"
    if taken and entry.least > LEAST[entry.unit] and abs(entry.least - (entry.reached or 0.0) / 4) < 1e-9:
        least += f", a quarter {taken},"
    return {
        "learned little": f"less than {least} counts as little",
        "not learned": f"the gain, if any, is below {least}",
        "not enough evidence": f"the gain may be 0, or above {least}",
    }[entry.word]


def parts_line(mean: VerdictMean) -> list[str]:
    """Returns the gains and losses of suites within a mean change, if both are large enough to be of interest."""
    unit = mean.unit
    if min(mean.gained, mean.lost) < LEAST[unit]:
        return []
    up, down = mean.gained_in, mean.lost_in
    return [
        f"    in that mean, {len(up)} suite{'s' if len(up) > 1 else ''} gained {number(mean.gained, unit)} (most:"
        f" {escape(up[0])}) and {len(down)} lost {number(mean.lost, unit)} (most: {escape(down[0])})"
    ]


def alone_line(judged: Mapping[str, VerdictSuite], names: Sequence[str]) -> list[str]:
    """Returns the suites that lost too much in a single test, but not after the correction for all tested suites."""
    alone = [escape(name) for name in names if judged[name].alone == "forgot"]
    if not alone:
        return []
    return [
        f"  tested alone, {', '.join(alone)} lost more than the budget; among {len(judged)} suites that can be chance,"
        " so the word is neither kept nor forgot"
    ]
