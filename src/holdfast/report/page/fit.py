"""The part of a page on a fit: what came of it, its stages with their cost, the pilot and the search."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from holdfast.bench.fit.fit_folder import FILE
from holdfast.bench.fit.fit_record import FitRecord
from holdfast.bench.fit.pilot_record import PilotRecord, PilotRung
from holdfast.bench.fit.search_record import SearchRecord, TrialRow
from holdfast.bench.fit.trials import TrialOutcome
from holdfast.bench.given.fit_spec import FitSpec
from holdfast.report.page.again import command
from holdfast.report.page.blocks import Block, Cell, Code, Facts, Paragraphs, Part, Table, Word, sections
from holdfast.report.page.clean import name, place_name
from holdfast.report.page.heal import heal_part, is_healing
from holdfast.report.page.outcome import Asked, environment_block, outcome_sections
from holdfast.report.page.quotes import FEW, SHOWN
from holdfast.report.page.run import asked_in, read_object, run_part
from holdfast.report.page.sentence import warnings
from holdfast.report.reading import UNITS, number


def is_fit(folder: Path) -> bool:
    """Returns whether a folder is one of a finished `holdfast fit`."""
    return (folder / FitRecord.FILE).is_file()


def fit_parts(folder: Path, quotes: int = SHOWN) -> list[Part]:
    """Returns the part on a fit, and closed parts on its full run and its healing.

    Raises:
        HoldfastError: A file of the folder cannot be read.
    """
    record, options = FitRecord.read(folder), read_object(folder / FILE)
    run, healing = _inside(folder, record.run), _healing(folder, record)
    again: list[Block] = [Code(command("fit", FitSpec, options))] if options else []
    asked = Asked() if record.healed or not run.is_dir() else asked_in(run, None)
    whole = Part(
        kind="A fit",
        title=f"{place_name(record.base)} learns {place_name(record.data)}",
        word=None if record.verdict is None else Word(record.verdict.word),
        sentence=" ".join([record.sentence, *warnings(record)]),
        sections=[
            *outcome_sections(record, asked, quotes),
            *sections(
                ("Stages", [_stages(record)]),
                ("Pilot", _pilot(folder)),
                ("Search", _search(folder, record)),
                ("Result", [Facts(_result(record))]),
                ("Notes", [Paragraphs(record.notes)] if record.notes else []),
                ("Environment", environment_block(read_object(folder / "env.json"))),
                ("Run it again", again),
            ),
        ],
    )
    parts = [whole]
    if (run / "result.json").is_file():
        parts.append(run_part(run, quotes=FEW, title=f"The full run: {record.recipe}"))
    return [*parts, *healing]


def _inside(folder: Path, place: str) -> Path:
    """Returns a folder of a fit, found below it also after the fit was moved."""
    path = Path(place).expanduser()
    return path if path.is_dir() else folder / "runs" / path.name


def _healing(folder: Path, record: FitRecord) -> list[Part]:
    row = next((row for row in record.stages if row.name == "heal" and row.done and row.record), None)
    if row is None or row.record is None:
        return []
    place = Path(row.record).expanduser()
    place = place.parent if place.suffix == ".json" else place
    place = place if place.is_dir() else folder / place.name
    if not is_healing(place):
        return []
    part = heal_part(place, FEW)
    return [dataclasses.replace(part, title=f"The healing: {part.title}", folded=True)]


def _stages(record: FitRecord) -> Table:
    rows: list[Sequence[Cell]] = []
    for row in record.stages:
        costs = (f"{row.spent:.2f}", f"{row.announced:.2f}") if row.done and row.announced else ("", "")
        rows.append([row.name, row.sentence, *costs, f"{row.seconds:,.0f} s" if row.done else ""])
    cost = record.cost
    rows.append(["all", "", f"{cost.spent:.2f}", f"{cost.allowed:.2f}", f"{record.seconds:,.0f} s"])
    note = f"Costs are trainings in plain runs of {cost.plain_seconds:,.0f} s; asking the models is not counted."
    columns = ("stage", "what came of it", "cost", "at most", "wall time")
    return Table("What each stage did", columns, rows, note)


def _pilot(folder: Path) -> list[Block]:
    if not (folder / PilotRecord.FILE).is_file():
        return []
    record = PilotRecord.read(folder)
    rows: list[Sequence[Cell]] = [
        [name(rung.name), *_amounts(rung), "yes" if rung.opens else "no", rung.why, f"{rung.cost:.2f}"]
        for rung in record.rungs
    ]
    columns = ("rung", "learned", "lost", "opens", "why", "cost")
    note = f"On {record.share:.0%} of the data ({record.examples:,} examples); chosen: {record.rung}."
    return [Paragraphs([record.sentence]), Table("The rungs of the pilot", columns, rows, note)]


def _amounts(rung: PilotRung | TrialOutcome) -> tuple[str, str]:
    pairs = ((rung.learned, rung.learned_unit), (rung.lost, rung.lost_unit))
    one, other = (
        "" if value is None else f"{number(value, unit, '+')} {UNITS.get(unit, unit)}" for value, unit in pairs
    )
    return one, other


def _search(folder: Path, fit: FitRecord) -> list[Block]:
    if not any(row.name == "search" and row.done for row in fit.stages):
        return []
    place = next((place for place in (folder, folder / "runs") if (place / SearchRecord.FILE).is_file()), None)
    if place is None:
        return []
    record = SearchRecord.read(place)
    rows: list[Sequence[Cell]] = [
        [f"{row.number}", row.recipe, f"{row.fidelity:.2g}", row.source, *_came(row.outcome), _choice(row, record.best)]
        for row in record.trials
    ]
    columns = ("trial", "recipe", "share of the epochs", "source", "learned", "lost", "budget taken", "cost", "chosen")
    table = Table("The trials of the search", columns, rows, f"Searched: {', '.join(record.searched)}.", folded=True)
    return [Paragraphs([record.sentence]), table]


def _came(outcome: TrialOutcome) -> tuple[str, str, str, str]:
    """Returns what a trial learned and lost, the share of the budget that it takes, and its cost."""
    used = "" if outcome.used is None else f"{outcome.used:.0%}"
    return *_amounts(outcome), used, f"{outcome.cost:.2f}"


def _choice(row: TrialRow, best: int | None) -> str:
    if row.outcome.state == "finished":
        return "yes" if row.number == best else ""
    return row.outcome.state + (f": {row.outcome.why}" if row.outcome.why else "")


def _result(record: FitRecord) -> list[tuple[str, str]]:
    pairs = [("recipe", record.recipe), ("model", record.model), ("healed", "yes" if record.healed else "no")]
    used = record.used
    share = [] if used is None else [("budget that the full run took, with the room for a verdict", f"{used:.0%}")]
    return [*pairs, *share, ("trainings", f"{record.cost.training_seconds:,.0f} s")]
