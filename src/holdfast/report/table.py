"""The table of scores before and after a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from holdfast.bench.machine.lines import print_line, print_sentence
from holdfast.bench.machine.verbosity import is_main_process
from holdfast.bench.measured.outcome import Learning, SuiteRow, VerdictMean, VerdictRow
from holdfast.bench.run.record import MemoryRow
from holdfast.bench.run.run import RunResult
from holdfast.report.calibration import show_calibration
from holdfast.report.guard import guard_lines
from holdfast.report.ranking import points_of, ranking_table
from holdfast.report.reading import UNITS, alone_line, learned_lines, number, parts_line, reading, words_of
from holdfast.report.reliability import draw_reliability
from holdfast.report.symptoms import symptom_lines


def show(done: RunResult, console: Console | None = None) -> None:
    """Prints the table of a finished run and the paths of its files, and draws the reliability diagram."""
    console, record = console or Console(), done.record
    points = points_of(record.ranking)
    if record.suites:
        console.print(before_after(record.suites, "", record.verdict, record.learned, points, console.width))
    else:
        console.print("Nothing was measured: give --test and --keep.")
    show_calibration(record.calibration, console)
    if record.ranking is not None:
        console.print(ranking_table(record.ranking))
    lines = verdict_lines(record.verdict, record.suites) if record.verdict is not None else []
    lines += learned_lines(record.learned) if record.learned is not None else []
    lines += guard_lines(record.guard, record.seconds.training) if record.guard is not None else []
    for line in lines:
        print_sentence(console, line, markup=True)
    for line in [*memory_lines(record.memories, ranks=record.ranking is not None), *symptom_lines(record.symptoms)]:
        print_sentence(console, line)
    drawn = _draw(done) if is_main_process() else None
    diagram = [] if drawn is None else [("Diagram", drawn.name)]
    for what, name in (("Model", "model"), ("Scores", "scores.jsonl"), *diagram):
        print_line(console, f"{what}: {done.folder}/{name}")


def _draw(done: RunResult) -> Path | None:
    return draw_reliability(done.record.calibration, done.folder, f"{done.folder.name}: before and after training")


NARROW = 80
"""Below as many columns, some cells of a table of suites take two lines."""
LARGE = 10_000
"""From this number on, a table shows two digits of it."""


def before_after(
    suites: Sequence[SuiteRow],
    title: str = "",
    judged: VerdictRow | None = None,
    learned: Learning | None = None,
    points: str = "percent right",
    width: int = NARROW,
) -> Table:
    """Returns a table of suites: scores before and after, the change with its paired interval, and its reading.

    It fits 80 columns: long names of suites wrap, numbers do not. It fits 60 columns with intervals below the changes,
    and tokens below the items.

    Args:
        suites: One row for each suite.
        title: Title above the table.
        judged: The verdict; its words replace the readings of the suites that it judges.
        learned: The word on learning, used in the same way.
        points: What points are, for the caption.
        width: Columns of the terminal.
    """
    words = words_of(judged, learned)
    texts = not suites or any(suite.unit != "points" for suite in suites)
    table = Table(
        title=escape(title) or None,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    longest = max((len(suite.name) for suite in suites), default=0)
    least = 6 if width < NARROW else 8 if texts else min(max(8, longest), 14)
    table.add_column("suite", overflow="fold", min_width=least)
    headings = (*_below(["items", "tokens"][: 1 + texts], width), "before", "after")
    for name in (*headings, "".join(_below(["change", " [95% interval]"], width))):
        table.add_column(escape(name), justify="right", no_wrap=True)
    table.add_column("reading", overflow="fold", min_width=9 if width >= NARROW else 8)
    for suite in suites:
        table.add_row(*_cells(suite, texts, width), words.get(suite.name) or reading(suite))
    units = {suite.unit for suite in suites}
    meanings = {"nats": "nats per supervised token, lower is better", "points": f"{points}, higher is better"}
    table.caption = f"before, after: {'; or '.join(text for unit, text in meanings.items() if unit in units)}; paired"
    return table


def _below(texts: Sequence[str], width: int) -> list[str]:
    """Returns the texts of neighbouring cells; in a narrow terminal one cell, with each text on a line."""
    return [*texts] if width >= NARROW else ["\n".join(text.strip() for text in texts)]


def _cells(suite: SuiteRow, texts: bool, width: int) -> list[str]:
    """Returns all cells of a suite except the last; `texts` adds the number of tokens."""
    places = 1 if suite.unit == "points" else 3
    low, high = (None if value is None else _number(value, places, "+") for value in (suite.low, suite.high))
    interval = " [one document]" if low is None else f" [{low}, {high}]"
    tokens = [] if not texts else ["" if suite.tokens is None else _short(suite.tokens)]
    scores = [_number(score, places) for score in (suite.before, suite.after)]
    return [
        escape(suite.name),
        *_below([f"{suite.items:,}", *tokens], width),
        *scores,
        escape("".join(_below([_number(suite.change, places, "+"), interval], width))),
    ]


def _number(value: float, places: int, sign: str = "") -> str:
    """Returns a number with some decimals, or with two digits if it is so large that columns would fall away."""
    return f"{value:{sign}z.{places}f}" if abs(value) < LARGE else f"{value:{sign}.2g}"


def verdict_lines(judged: VerdictRow, suites: Sequence[SuiteRow], brief: bool = False) -> list[str]:
    """Returns the verdict in sentences: the word, its basis, and the unsettled suites.

    Args:
        judged: The verdict.
        suites: The rows of the table.
        brief: Whether to leave out the unsettled suites and the smallest detectable losses.
    """
    words, names = judged.suites, [suite.name for suite in suites if suite.name in judged.suites]
    of = "in the mean of the suites, and in no suite certainly more" if judged.claim == "mean" else "in every suite"
    lines = [f"[bold]Verdict: {judged.word}[/bold] (budget: a loss of {judged.allowed} {of})"]
    for mean in judged.means:
        lines += _mean_lines(mean) if mean.suite_count > 1 else []
    lines += [] if brief else _floors(judged, suites)
    if forgot := [escape(name) for name in names if words[name].word == "forgot"]:
        tested = f"{len(words)} suite{'s' if len(words) > 1 else ''}"
        lines.append(f"  certainly forgot, among {tested} tested: {', '.join(forgot)}")
    lines += alone_line(words, names)
    return lines if brief else lines + _open_lines(judged)


def _mean_lines(mean: VerdictMean) -> list[str]:
    """Returns the verdict on a mean, and the gains and losses within it."""
    low, high = (-math.inf, math.inf) if mean.low is None or mean.high is None else (mean.low, mean.high)
    change, lowest, highest = (number(value, mean.unit, "+") for value in (mean.change, low, high))
    about = f"  mean of {mean.suite_count} suites: {change} \\[{lowest}, {highest}] {UNITS[mean.unit]}, {mean.word}"
    return [about, *parts_line(mean)]


NAMED = 4
"""Most unsettled suites that are named one by one; of more, a sentence says how many items settle one."""


def _open_lines(judged: VerdictRow) -> list[str]:
    """Returns the suites that are not settled, and those without a limit."""
    open_ = {name: suite for name, suite in judged.suites.items() if suite.word == "not enough evidence"}
    needs = {name: suite.items_needed for name, suite in open_.items() if suite.items_needed is not None}
    if len(open_) <= NAMED:
        words = [escape(n) + (f" (needs about {needs[n]:,} items)" if n in needs else "") for n in open_]
        lines = [f"  not settled: {', '.join(words)}"] if words else []
    else:
        lines = [f"  not settled: {len(open_)} of {len(judged.suites)} suites"]
        if needs:
            least, most = min(needs, key=needs.__getitem__), max(needs, key=needs.__getitem__)
            lines[0] += f"; one needs from about {needs[least]:,} items ({escape(least)})"
            lines[0] += f" to {needs[most]:,} ({escape(most)})"
    return lines + ([f"  without a limit: {', '.join(map(escape, judged.unjudged))}"] if judged.unjudged else [])


NEAR = {
    "same": "the same kinds of examples as the suites of --keep, which thus say little about other skills",
    "near": "the skills of the suites of --keep in other forms",
    "none": "other kinds of examples than the suites of --keep",
    "unsaid": "how near it is to the suites of --keep is not declared (near='same', 'near' or 'none')",
}
"""The meaning of a memory's declared nearness, in words."""


def memory_lines(memories: Sequence[MemoryRow], *, ranks: bool = False) -> list[str]:
    """Returns a sentence for each rehearsed memory; `ranks` says that the rows are those of a reranker."""
    rows = "rows" if ranks else "tokens"
    return [f"Rehearsed: {row.name}, {row.token_share:.0%} of the {rows}; {NEAR[row.near]}" for row in memories]


def _floors(judged: VerdictRow, suites: Sequence[SuiteRow]) -> list[str]:
    """Returns the smallest detectable losses in each unit."""
    units = {suite.name: suite.unit for suite in suites}
    lines = []
    for mean in judged.means:
        unit = mean.unit
        floors_of_unit = [suite.floor for name, suite in judged.suites.items() if units.get(name) == unit]
        floors = [number(floor, unit) for floor in sorted(floor for floor in floors_of_unit if floor is not None)]
        parts = [f"{number(mean.floor, unit)} in the mean"] if mean.suite_count > 1 and mean.floor is not None else []
        if floors:
            parts.append(f"{' to '.join(dict.fromkeys((floors[0], floors[-1])))} in one suite")
        if parts:
            lines.append(f"  smallest detectable loss: {', '.join(parts)} ({UNITS[unit]})")
    return lines


def _short(count: float) -> str:
    """Returns a count in at most six characters: 9,999, then 12.3k, 4.56M, 7.89B."""
    if count < 9999.5:
        return f"{count:,.0f}"
    unit, size = next(((u, s) for u, s in (("k", 1e3), ("M", 1e6)) if count < 999.5 * s), ("B", 1e9))
    return f"{count / size:.3g}{unit}"
