"""A plan as text: facts in compact tables, advice as a list with evidence and source, and what to type next."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from holdfast.bench.machine.lines import print_line
from holdfast.bench.plan.check.check import Checked
from holdfast.bench.plan.ranking.ranking_record import RankingPlanRecord
from holdfast.bench.plan.record import AdviceRow, DataRow, KeptRow, ModelRow, PlanRecord
from holdfast.bench.plan.scaling import Sheet
from holdfast.bench.plan.situation import FAR, FEW_TOKENS, KNOWN
from holdfast.report.plan_check import check_lines
from holdfast.report.plan_forecast import forecast_lines, forecast_table
from holdfast.report.plan_ranking import ranking_facts_table
from holdfast.report.plan_scale import scale_table
from holdfast.report.plan_words import count, facts_in_columns, size, time_fact, wrapped

SUSPECTS = 3
"""Rows with doubtful answers that are shown."""


@functools.singledispatch
def show(answer: object, *, as_json: bool = False, console: Console | None = None) -> None:
    """Prints an answer of `holdfast plan`: a plan, a checked config, or a scaling sheet.

    Args:
        answer: The answer.
        as_json: Whether to print it as JSON.
        console: Console; the terminal by default.
    """
    raise TypeError(f"{type(answer).__name__} is no answer of a plan")


@show.register
def _(answer: PlanRecord, *, as_json: bool = False, console: Console | None = None) -> None:
    console = console or Console()
    if as_json:
        print(json.dumps(answer.to_dict(), indent=2, ensure_ascii=False))
        return
    console.print(facts_table(answer))
    console.print(memory_table(answer))
    if answer.forecast is not None:
        console.print(forecast_table(answer.forecast))
        for line in forecast_lines(answer.forecast):
            print_line(console, line)
    _show_advice(answer, console, suspect_lines(answer.data))


@show.register
def _(answer: RankingPlanRecord, *, as_json: bool = False, console: Console | None = None) -> None:
    console = console or Console()
    if as_json:
        print(json.dumps(answer.to_dict(), indent=2, ensure_ascii=False))
        return
    console.print(ranking_facts_table(answer))
    console.print(memory_table(answer))
    _show_advice(answer, console)


def _show_advice(answer: PlanRecord | RankingPlanRecord, console: Console, first: Iterable[str] = ()) -> None:
    """Prints the advice after some lines about the data, then what the plan assumes, and what to type next."""
    for line in [*first, *advice_lines(answer.advice), *read_lines(answer.advice)]:
        print_line(console, line)
    for note in answer.notes:
        for line in wrapped(note, "  "):
            print_line(console, line, style="yellow")
    for line in next_lines(answer):
        print_line(console, line)


@show.register
def _(answer: Checked, *, as_json: bool = False, console: Console | None = None) -> None:
    console = console or Console()
    if as_json:
        print(json.dumps(answer.to_dict(), indent=2, ensure_ascii=False))
        return
    for line in check_lines(answer):
        print_line(console, line)


@show.register
def _(answer: Sheet, *, as_json: bool = False, console: Console | None = None) -> None:
    console = console or Console()
    if as_json:
        print(json.dumps(answer.to_dict(), indent=2, ensure_ascii=False))
        return
    console.print(scale_table(answer))
    for note in answer.notes:
        for line in wrapped(note, ""):
            print_line(console, line)


def facts_table(record: PlanRecord) -> Table:
    """Returns the facts as a table of two columns."""
    return facts_in_columns(
        [
            *_model_facts(record.model),
            *_data_facts(record.data),
            *_kept_facts(record.kept, record.model.vocabulary),
            *(("time", fact) for fact in map(time_fact, record.time)),
        ]
    )


def _model_facts(model: ModelRow) -> Iterator[tuple[str, str]]:
    experts = f", {model.experts} experts" if model.experts else ""
    shape = f"{model.layers} layers of width {model.width:,}{experts}" if model.layers else "shape unknown"
    adapter = "an adapter on a base; " if model.is_adapter else ""
    yield "model", f"{model.name}: {adapter}{model.architecture}, {count(model.parameters)} parameters, {shape}"
    context = f", reads {model.context:,} tokens" if model.context else ""
    template = "has a chat template" if model.chat else "no chat template: rows are joined as they are"
    yield "tokenizer", f"{model.vocabulary:,} tokens; {template}{context}"


def _data_facts(data: DataRow) -> Iterator[tuple[str, str]]:
    held = "" if data.rows == data.train_rows else f", {data.train_rows:,} to train on"
    yield "data", f"{data.name}: {data.rows:,} rows{held}"
    yield (
        "tokens",
        f"{data.tokens:,} a pass, {data.learned_tokens:,} of them learned; a row has {data.median:,}"
        f" (median) to {data.longest:,}",
    )
    limited = "" if data.compared == data.train_rows else f" of the first {data.compared:,}"
    yield "copies", f"{data.copies:,} rows repeat another; {data.alike:,}{limited} are very like an earlier one"
    disputed = ""
    if data.conflicts is not None and data.surprise_nats is not None:
        means = (
            ""
            if data.surprise_nats <= KNOWN or not data.conflicts
            else " (not a sign of errors: it does not know these rows)"
        )
        disputed = f"; the base is sure of another answer in {data.conflicts:,} of {data.asked:,}{means}"
    yield "labels", f"{data.contradictions:,} rows contradict another row{disputed}"
    if data.surprise_nats is not None:
        yield "surprise", f"{data.surprise_nats:.2f} nats per learned token under the base"


def _kept_facts(kept: KeptRow | None, vocabulary: int) -> Iterator[tuple[str, str]]:
    if kept is None:
        yield "kept", "nothing is named, so nothing would show what is lost (--keep)"
        return
    suites = "1 suite" if kept.suites == 1 else f"{kept.suites} suites"
    yield "kept", f"{kept.count:,} items or texts in {suites}"
    if kept.surprise_nats is not None:
        yield "", f"{kept.surprise_nats:.2f} nats per token under the base"
    if kept.divergence_bits is not None and kept.halves_bits is not None:
        far = kept.divergence_bits - kept.halves_bits >= FAR
        word = "" if vocabulary > FEW_TOKENS else ": far" if far else ": not far"
        yield (
            "distance",
            f"{kept.divergence_bits:.2f} bit between the tokens of the data and of what is kept (two halves of it:"
            f" {kept.halves_bits:.2f}){word}",
        )


def memory_table(record: PlanRecord | RankingPlanRecord) -> Table:
    """Returns the memory of each recipe against what is free."""
    table = Table(
        title=f"Memory: {size(record.free)} are free {record.where}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("recipe", overflow="fold")
    table.add_column("needs", justify="right", no_wrap=True)
    table.add_column("trains", justify="right", no_wrap=True)
    table.add_column("fits", no_wrap=True)
    for row in record.memory:
        table.add_row(row.recipe, size(row.bytes), count(row.trained), "yes" if row.fits else "no")
    return table


def suspect_lines(data: DataRow) -> Iterator[str]:
    """Yields lines that name rows with answers that may be wrong."""
    if data.suspects:
        yield "Rows to look at (plan.json names up to ten)"
        for row in data.suspects[:SUSPECTS]:
            yield from wrapped(f"{row.origin}: {row.why}", "    ", "  ")
        yield ""


def advice_lines(rows: Sequence[AdviceRow]) -> Iterator[str]:
    """Yields the advice that a plan follows, each with its evidence and source; figures for the recipe alone."""
    yield "Advice"
    for row in rows:
        if row.followed:
            yield from wrapped(row.advice, " " * 16, f"  {row.topic + ':':<14}")
            figures = "".join(f"; {figure}" for figure in row.figures if row.topic == "recipe")
            because = f"; {row.because}" if row.because else ""
            yield from wrapped(f"[{row.evidence}: {row.source}] {because.lstrip('; ')}{figures}", " " * 18, " " * 16)
    yield ""


def read_lines(rows: Sequence[AdviceRow]) -> Iterator[str]:
    """Yields the rules that people read and a plan does not follow, each with what is known of it."""
    others = [row for row in rows if not row.followed]
    if not others:
        return
    yield "You may also read (docs/plan.md has the figures)"
    for row in others:
        because = f": {row.because}" if row.because else ""
        yield from wrapped(f"{row.advice} [{row.evidence}: {row.source}]", "    ", "  - ")
        yield from wrapped(f"{row.standing}{because}", "      ", "    ")
    yield ""


def next_lines(record: PlanRecord | RankingPlanRecord) -> Iterator[str]:
    """Yields what to type next."""
    if not record.recipe:
        yield from wrapped("Nothing to run: no recipe fits into memory.", "")
        return
    yield "Next: save this as run.yaml (--write run.yaml does), and type"
    yield "  holdfast train --config run.yaml"
    yield ""
    yield from (f"  {line}" for line in record.run.rstrip().split("\n"))
