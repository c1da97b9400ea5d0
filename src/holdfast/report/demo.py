"""The output of the demo: what plain training and held training learned and lost, side by side."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from holdfast.bench.compare.demo import DemoResult
from holdfast.bench.machine.files import read_jsonl
from holdfast.bench.machine.lines import print_line
from holdfast.bench.measured.outcome import SuiteRow
from holdfast.bench.run.run import RunResult
from holdfast.report.reading import short
from holdfast.report.table import verdict_lines

MEASURED = {"generate": "Right answers in percent", "rerank": "nDCG@10 in points"}
LEARNED = {"generate": "new people", "rerank": "contracts"}
NEXT = {
    "generate": "holdfast fit --model MODEL --data new.jsonl --budget points=2",
    "rerank": "holdfast train --task rerank --model MODEL --data FOLDER --keep FOLDER --budget points=1",
}
"""What the demo of each task measures, calls what is learned, and advises."""
EXAMPLES = 1
"""Number of shown answers that plain training lost."""


def show(done: DemoResult, console: Console | None = None) -> None:
    """Prints the table of the demo, its summary, the verdicts, a lost answer, and a next step."""
    console = console or Console()
    names = list(done.runs)
    wide = max(map(len, names)) + 1
    console.print()
    for name in names:
        console.print(f"[bold]{name:{wide}}[/bold] {done.runs[name].spec.recipe}", highlight=False, soft_wrap=True)
    console.print()
    console.print(_table(done))
    console.print()
    for name in names:
        console.print(f"{name:{wide}} {_came_to(done, name)}", highlight=False)
    for name in names:
        record = done.runs[name].record
        assert record.verdict is not None  # the demo has a budget
        first, *rest = verdict_lines(record.verdict, record.suites, brief=True)
        console.print(f"\n[bold]{name}[/bold]: {first}", highlight=False)
        for line in rest:
            console.print(Padding(line.strip(), (0, 0, 0, 2)), highlight=False)
    if done.task == "generate":
        _lost_answers(done, console)
    console.print(
        f"\nAll scores, answers, logs and models: {done.runs[names[0]].folder.parent}."
        + ("" if done.seconds is None else f" The demo took {_minutes(done.seconds)}.")
        + f"\nOn your own model:\n  {NEXT[done.task]}",
        highlight=False,
        soft_wrap=True,
    )


def _table(done: DemoResult) -> Table:
    """Returns the table of right answers, suite by suite."""
    names = list(done.runs)
    table = Table(
        title=f"{MEASURED[done.task]}, before and after each recipe", title_justify="left", box=box.SIMPLE_HEAD,
        show_edge=False,
    )  # fmt: skip
    for header in ("suite", "before", *names):
        table.add_column(header, justify="left" if header == "suite" else "right", no_wrap=True)
    for i, suite in enumerate(_points(done.runs[names[0]])):
        label = f"{LEARNED[done.task]} (learned)" if suite.role == "learned" else suite.name
        table.add_row(label, f"{suite.before:.1f}", *(_cell(_points(done.runs[name])[i]) for name in names))
    return table


def _came_to(done: DemoResult, name: str) -> str:
    """Returns what a run learned, lost and cost; the cost is relative to that of the first run."""
    run, first = done.runs[name], next(iter(done.runs.values()))
    kept = [row.change for row in _points(run) if row.role == "retained"]
    learned = next(row.after for row in _points(run) if row.role == "learned")
    worst = f"({-min(kept):z.0f} on the worst suite)"
    mean = statistics.mean(kept)
    moved = f"lost {-mean:z.1f}" if mean <= 0 else f"gained {mean:.1f}"
    summary = f"knows {learned:.0f}% about the new people, and {moved} points of old knowledge {worst}"
    if done.task == "rerank":
        summary = f"ranks contracts with an nDCG@10 of {learned:.1f}, and {moved} points in the other domains {worst}"
    cost, usual = run.record.cost, first.record.cost
    if run is first or cost is None or usual is None or not usual.cpu_seconds:
        return f"{summary}."
    return f"{summary}; {cost.cpu_seconds / usual.cpu_seconds:.1f} times the work."


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _lost_answers(done: DemoResult, console: Console) -> None:
    """Prints questions that only the first recipe makes the model get wrong, from the suites that lose most."""
    first = next(iter(done.runs))
    chosen, held = _worst_lost(done)
    if not chosen:
        return
    answers = {name: _answers(run) for name, run in done.runs.items()}
    wide = max(map(len, done.runs)) + 1
    console.print(f"\nFor example ([bold]{first}[/bold] forgot it):" if held else "\nFor example:")
    for key in chosen:
        asked = answers[first][key]
        print_line(console, f"  {key[0]}: {short(asked['asked'])}")
        print_line(console, f"    {'before:':{wide}} {short(asked['before'])}")
        for name in done.runs:
            text = short(answers[name][key]["after"])
            print_line(console, f"    {name + ':':{wide}} {text}")


def _worst_lost(done: DemoResult) -> tuple[list[tuple[str, str]], bool]:
    """Returns items that the first recipe lost, one for each of the worst suites, and whether the others kept them."""
    first, *others = done.runs
    values = {name: _values(run) for name, run in done.runs.items()}
    lost = [key for key, (before, after) in values[first].items() if before > after]
    held = [key for key in lost if all(values[name].get(key, (0, 0))[1] > 0 for name in others)]
    change = {row.name: row.change for row in _points(done.runs[first])}
    by_suite = {suite: (suite, item) for suite, item in reversed(held or lost)}
    return [by_suite[suite] for suite in sorted(by_suite, key=lambda suite: change[suite])][:EXAMPLES], bool(held)


def _values(run: RunResult) -> dict[tuple[str, str], tuple[float, float]]:
    """Returns the scores before and after of every retained item with right and wrong answers."""
    scores: dict[tuple[str, str], dict[str, float]] = {}
    for row in read_jsonl(run.folder / "scores.jsonl"):
        if row["role"] == "retained" and row["unit"] == "points":
            scores.setdefault((row["suite"], row["item"]), {})[row["moment"]] = row["value"]
    return {key: (value["before"], value["after"]) for key, value in scores.items()}


def _answers(run: RunResult) -> dict[tuple[str, str], dict[str, str]]:
    answers_by_item: dict[tuple[str, str], dict[str, str]] = {}
    for row in read_jsonl(run.folder / "answers.jsonl"):
        answers = answers_by_item.setdefault((row["suite"], row["item"]), {"asked": row["asked"]})
        answers[row["moment"]] = row["said"]
    return answers_by_item


def _points(run: RunResult) -> Sequence[SuiteRow]:
    return [row for row in run.record.suites if row.unit == "points"]


def _cell(row: SuiteRow) -> str:
    return f"{row.after:.1f} ({row.change:+z.1f})"
