"""What `holdfast compare` and `holdfast report` show: tables in the terminal, or in files with the frontier drawn."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from rich.console import Console

from holdfast.bench.compare.compare import CompareResult
from holdfast.bench.compare.finished_runs import comparable_runs, read_finished_runs
from holdfast.bench.compare.tradeoff import tradeoff
from holdfast.bench.compare.tradeoff_record import TradeOff
from holdfast.bench.given.specs import ReportSpec
from holdfast.bench.machine.files import write_atomically, write_json
from holdfast.core.errors import HoldfastError
from holdfast.report import tradeoff as table
from holdfast.report.frontier import draw
from holdfast.report.yardstick import is_yardstick, yardstick


def report(spec: ReportSpec) -> tuple[TradeOff, ...]:
    """Returns the trade-off of every set of runs that can be set side by side, and writes the files asked for.

    Only run folders are read: no model is loaded, and what a run did not measure stays absent.

    Raises:
        HoldfastError: For anything the user can mend.
    """
    tables = [yardstick(place, spec.reach) for place in spec.runs if is_yardstick(place)]
    places = [place for place in spec.runs if not is_yardstick(place)]
    runs, notes = read_finished_runs(places) if places else ([], [])
    found, reasons = [], list[HoldfastError]()
    for own in comparable_runs(runs):
        try:
            found.append(tradeoff(own, reach=spec.reach, budget=spec.allowed()))
        except HoldfastError as error:
            reasons.append(error)
    if reasons and not (found or tables):
        raise reasons[0]
    said = (*notes, *map(str, reasons))
    every = (*(dataclasses.replace(one, notes=(*one.notes, *said)) for one in found), *tables)
    if spec.out is not None:
        for number, one in enumerate(every):
            write(one, Path(spec.out), "" if len(every) == 1 else f"-{number + 1}")
    return every


def write(found: TradeOff, folder: Path, suffix: str = "") -> list[Path]:
    """Writes a trade-off as Markdown, CSV and JSON and draws its frontier, and returns the files."""
    files = [folder / f"tradeoff{suffix}.{kind}" for kind in ("md", "csv", "json")]
    write_atomically(files[0], table.markdown(found))
    write_atomically(files[1], table.as_csv(found))
    write_json(files[2], found.to_dict())
    return [*files, *draw(found, folder, f"frontier{suffix}")]


def show(spec: ReportSpec, console: Console | None = None) -> None:
    """Prints the trade-offs as asked for, and where the files are."""
    console = console or Console()
    found = report(spec)
    if spec.format == "json":
        console.print(
            json.dumps([one.to_dict() for one in found], indent=2), highlight=False, markup=False, soft_wrap=True
        )
        return
    for number, one in enumerate(found):
        if number:
            console.print()
        if spec.format == "table":
            table.terminal(one, console)
        else:
            made = table.markdown(one) if spec.format == "markdown" else table.as_csv(one)
            console.print(made, highlight=False, markup=False, soft_wrap=True, end="")
    if spec.out is not None and spec.format == "table":
        console.print(f"Tables and plots: {spec.out}", highlight=False, markup=False, soft_wrap=True)


def show_compared(done: CompareResult, console: Console | None = None) -> None:
    """Prints the trade-off of a finished comparison; its files lie beside the runs."""
    if not done.folders:
        return
    out = str(Path(done.spec.out) / "report")
    folders = tuple(str(folder) for folder in done.folders)
    show(ReportSpec(runs=folders, budget=done.spec.budget, reach=done.spec.reach, out=out), console)
