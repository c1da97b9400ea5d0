"""The output of `holdfast compare` and `holdfast report`: tables in the terminal, or files with a plot."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from holdfast.bench.compare.compare import CompareResult
from holdfast.bench.compare.finished_runs import comparable_runs, read_finished_runs
from holdfast.bench.compare.tradeoff import tradeoff
from holdfast.bench.compare.tradeoff_record import TradeOff
from holdfast.bench.given.limits import REACH
from holdfast.bench.given.specs import ReportSpec
from holdfast.bench.machine.files import write_atomically, write_json
from holdfast.bench.machine.lines import print_line
from holdfast.core.errors import HoldfastError
from holdfast.report import tradeoff as table
from holdfast.report.finished import finished, show_finished
from holdfast.report.frontier import draw
from holdfast.report.page.live import serve
from holdfast.report.page.making import whole_of, write_page
from holdfast.report.yardstick import is_yardstick, yardstick


def report(spec: ReportSpec) -> tuple[TradeOff, ...]:
    """Returns the trade-off of every set of runs that can be compared, and writes the requested files.

    It reads only folders: it loads no model, and a value that a run did not measure stays absent. With `live`, it
    serves the page until it is interrupted, and returns nothing.

    Raises:
        HoldfastError: For any error that the user can fix.
    """
    return _reported(spec)[0]


def _reported(spec: ReportSpec) -> tuple[tuple[TradeOff, ...], list[str]]:
    """Returns the trade-offs, and why some sets of runs have none."""
    whole = _whole(spec)
    if spec.live:
        serve(spec, Console(stderr=True))
        return (), []
    if spec.html is not None:
        write_page(spec, spec.html)
    every, reasons = _tradeoffs(spec, [place for place in spec.runs if place not in whole])
    if reasons and not (every or spec.html):
        raise reasons[0]
    if spec.out is not None:
        for number, record in enumerate(every):
            write(record, Path(spec.out), "" if len(every) == 1 else f"-{number + 1}")
    return every, list(map(str, reasons))


def _whole(spec: ReportSpec) -> list[str]:
    """Returns the folders that have a page alone; refuses them without a page, and options that act on runs alone."""
    whole = {place: what for place in spec.runs if (what := whole_of(place)) is not None}
    for place, what in whole.items() if spec.html is None and not spec.live else ():
        raise HoldfastError(f"{place} holds {what}, not a run: write its page with --html FILE.")
    if len(whole) == len({*spec.runs}):
        _refuse_of_runs(spec)
    return list(whole)


def _refuse_of_runs(spec: ReportSpec) -> None:
    """Raises `HoldfastError` for options of a page without a run that only runs give a meaning."""
    if spec.budget or spec.reach != REACH or spec.out is not None or spec.format != "table":
        raise HoldfastError(
            "A page of diffs, fits and healings keeps their verdicts and has no table beside it: leave out --budget,"
            " --reach, --out and --format. `holdfast diff FOLDER/base.jsonl FOLDER/tuned.jsonl --budget points=2`"
            " judges a diff again."
        )


def _tradeoffs(spec: ReportSpec, given: Sequence[str]) -> tuple[tuple[TradeOff, ...], list[HoldfastError]]:
    """Returns the trade-offs of runs and of tables of published results, and why some sets of runs have none."""
    tables = [yardstick(place, spec.reach) for place in given if is_yardstick(place)]
    places = [place for place in given if not is_yardstick(place)]
    runs, notes = read_finished_runs(places) if places else ([], [])
    tradeoffs, reasons = list[TradeOff](), list[HoldfastError]()
    for comparable in comparable_runs(runs):
        try:
            tradeoffs.append(tradeoff(comparable, reach=spec.reach, budget=spec.allowed()))
        except HoldfastError as error:
            reasons.append(error)
    reported = (*notes, *map(str, reasons))
    of_runs = (dataclasses.replace(record, notes=(*record.notes, *reported)) for record in tradeoffs)
    return (*of_runs, *tables), reasons


def write(record: TradeOff, folder: Path, suffix: str = "") -> list[Path]:
    """Writes a trade-off as Markdown, CSV and JSON, draws its Pareto front, and returns the files."""
    files = [folder / f"tradeoff{suffix}.{kind}" for kind in ("md", "csv", "json")]
    write_atomically(files[0], table.markdown(record))
    write_atomically(files[1], table.as_csv(record))
    write_json(files[2], record.to_dict())
    return [*files, *draw(record, folder, f"frontier{suffix}")]


def show(spec: ReportSpec, console: Console | None = None) -> None:
    """Prints the trade-offs in the requested format, and the folder of the files; of fits and healings their results.

    Raises:
        HoldfastError: A folder holds nothing to report.
    """
    console = console or Console()
    if records := finished(spec):
        if spec.html is not None:
            write_page(spec, spec.html)
        show_finished(records, spec, console)
        _say_page(spec, console)
        return
    tradeoffs, reasons = _reported(spec)
    for reason in () if tradeoffs else reasons:  # without any trade-off, there is the page alone
        print_line(console, f"No table: {reason}")
    if spec.format == "json":
        print_line(console, json.dumps([record.to_dict() for record in tradeoffs], indent=2))
        return
    for number, record in enumerate(tradeoffs):
        if number:
            console.print()
        if spec.format == "table":
            table.terminal(record, console)
        else:
            made = table.markdown(record) if spec.format == "markdown" else table.as_csv(record)
            print_line(console, made, end="")
    _say_page(spec, console)
    if spec.out is not None and spec.format == "table":
        print_line(console, f"Tables and plots: {spec.out}")


def _say_page(spec: ReportSpec, console: Console) -> None:
    """Prints where the page is; nothing beside a format that programs read."""
    if spec.html is not None and spec.format == "table":
        print_line(console, f"Page: {spec.html}")


def show_compared(done: CompareResult, console: Console | None = None) -> None:
    """Prints the trade-off of a finished comparison; its files are in the folder of the runs."""
    if not done.folders:
        return
    out = str(Path(done.spec.out) / "report")
    folders = tuple(str(folder) for folder in done.folders)
    show(ReportSpec(runs=folders, budget=done.spec.budget, reach=done.spec.reach, out=out), console)
