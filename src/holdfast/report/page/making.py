"""Makes the page of some folders: of a run, a diff, a healing, a fit, or a comparison with a part for each recipe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from holdfast.bench.compare.finished_runs import FinishedRun, comparable_runs, read_finished_runs
from holdfast.bench.compare.tradeoff import tradeoff
from holdfast.bench.compare.tradeoff_record import TradeOff
from holdfast.bench.given.specs import ReportSpec
from holdfast.bench.machine.files import write_atomically
from holdfast.core.errors import HoldfastError
from holdfast.report.page.blocks import Page, Part
from holdfast.report.page.clean import name
from holdfast.report.page.comparison import comparison_part
from holdfast.report.page.diff import diff_part, is_diff
from holdfast.report.page.fit import fit_parts, is_fit
from holdfast.report.page.heal import heal_part, is_healing
from holdfast.report.page.quotes import FEW
from holdfast.report.page.render import html
from holdfast.report.page.run import run_part
from holdfast.report.yardstick import is_yardstick, yardstick

MOST_PARTS = 24
"""Most runs of a comparison that have a part of their own."""


def write_page(spec: ReportSpec, path: str | Path) -> Path:
    """Writes the page of the folders of a report, and returns the file.

    Raises:
        HoldfastError: A folder holds nothing to show, or a file cannot be read or written.
    """
    target = Path(path).expanduser()
    write_atomically(target, html(page_of(spec)))
    return target


def page_of(spec: ReportSpec) -> Page:
    """Returns the page of the folders of a report.

    Raises:
        HoldfastError: A folder holds nothing to show, or a file cannot be read.
    """
    whole = [place for place in spec.runs if whole_of(place) is not None]
    tables = [place for place in spec.runs if place not in whole and is_yardstick(place)]
    places = [place for place in spec.runs if place not in (*whole, *tables)]
    runs, notes = read_finished_runs(places) if places else ([], [])
    parts = [part for place in whole for part in _whole_parts(Path(place).expanduser())]
    parts += [comparison_part(yardstick(place, spec.reach), []) for place in tables]
    if len(runs) == 1:
        parts.append(run_part(runs[0].folder, spec.allowed()))
    else:
        parts += _comparisons(runs, spec, notes)
    return Page(_title(parts), parts, notes)


def whole_of(place: str) -> str | None:
    """Returns what a folder holds that has a page, and no table beside others: a diff, a healing or a fit; or None."""
    folder = Path(place).expanduser()
    return "a diff" if is_diff(folder) else "a healing" if is_healing(folder) else "a fit" if is_fit(folder) else None


def _whole_parts(folder: Path) -> list[Part]:
    if is_diff(folder):
        return [diff_part(folder)]
    return [heal_part(folder)] if is_healing(folder) else fit_parts(folder)


def _title(parts: Sequence[Part]) -> str:
    others = sum(not part.folded for part in parts[1:])
    return f"{parts[0].title}, and {others} more" if others else parts[0].title


def _comparisons(runs: Sequence[FinishedRun], spec: ReportSpec, notes: list[str]) -> list[Part]:
    """Returns a part for each trade-off, and a closed part for one run of each of its recipes."""
    parts = []
    for comparable in comparable_runs(runs):
        try:
            record = tradeoff(comparable, reach=spec.reach, budget=spec.allowed())
        except HoldfastError as error:
            notes.append(str(error))
            parts += [_folded(run, spec, run.folder.name) for run in comparable[:MOST_PARTS]]
            continue
        parts.append(comparison_part(record, comparable))
        shown = _shown(record, comparable)
        parts += [_folded(run, spec, name(label)) for label, run in shown[:MOST_PARTS]]
        if len(shown) > MOST_PARTS:
            notes.append(f"{len(shown) - MOST_PARTS} of {len(shown)} recipes have no part of their own here.")
    return parts


def _folded(run: FinishedRun, spec: ReportSpec, label: str) -> Part:
    """Returns the closed part on one of many runs."""
    return run_part(run.folder, spec.allowed(), FEW, title=f"{label}, seed {run.spec['seed']}, rate {run.rate:g}")


def _shown(record: TradeOff, runs: Sequence[FinishedRun]) -> list[tuple[str, FinishedRun]]:
    """Returns for each recipe its label, and the run with its chosen learning rate and the first seed."""
    chosen: list[tuple[str, FinishedRun]] = []
    for row in record.recipes:
        of_recipe = [run for run in runs if _text(run) == row.text and run.rate == row.rate]
        chosen += [(row.recipe, run) for run in sorted(of_recipe, key=lambda run: run.spec["seed"])[:1]]
    return chosen


def _text(run: FinishedRun) -> str:
    return repr(run.recipe_without_rate) or "Train()"
