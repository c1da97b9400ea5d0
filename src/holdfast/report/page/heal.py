"""The part of a page on a healing: the tuned and the healed model beside their base, and the search."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.bench.given.heal_spec import HealSpec
from holdfast.bench.given.options import default_of
from holdfast.bench.heal.heal_record import HealRecord
from holdfast.bench.measured.answers import read_answers
from holdfast.bench.measured.outcome import SuiteRow
from holdfast.probes.score import Answers
from holdfast.report.page.again import command
from holdfast.report.page.blocks import Block, Cell, Code, Facts, Paragraphs, Part, Table, Word, sections
from holdfast.report.page.clean import name, place_name
from holdfast.report.page.outcome import Asked, environment_block, outcome_sections
from holdfast.report.page.quotes import SHOWN
from holdfast.report.page.run import read_object
from holdfast.report.page.sentence import sentence
from holdfast.report.reading import number

OPTIONS = "heal-spec.json"


def is_healing(folder: Path) -> bool:
    """Returns whether a folder is one of a finished `holdfast heal`."""
    return (folder / HealRecord.FILE).is_file()


def heal_part(folder: Path, quotes: int = SHOWN) -> Part:
    """Returns the part on a healing.

    Raises:
        HoldfastError: A file of the folder cannot be read.
    """
    record, options = HealRecord.read(folder), read_object(folder / OPTIONS)
    healed = "the healed model" if record.form != "unchanged" else "the tuned model, which was not changed,"
    again: list[Block] = [Code(command("heal", HealSpec, _given(options), ("base", "tuned")))] if options else []
    steered = [] if record.steered is None else [record.steered.sentence]
    last = "unchanged" if record.form == "unchanged" else "healed"
    return Part(
        kind="A healing",
        title=f"{place_name(record.base)} → {place_name(record.tuned)} → {last}",
        word=None if record.verdict is None else Word(record.verdict.word),
        sentence=f"{sentence(record, healed)} {record.sentence}",
        sections=[
            *sections(("Before and after the healing", [_both(record)])),
            *outcome_sections(record, _asked(folder, record), quotes),
            *sections(
                ("The search", _search(record)),
                ("Retraining", _retraining(record)),
                ("Items that were left out", [Paragraphs(steered)] if steered else []),
                ("Cost", [Facts([("whole healing", f"{record.seconds:,.0f} s")])]),
                ("Environment", environment_block(read_object(folder / "env.json"))),
                ("Run it again", again),
            ),
        ],
    )


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the recorded options without defaults, which the folder of a run would replace by its own."""
    if (Path(str(options.get("tuned"))).expanduser() / "spec.json").exists():
        return dict(options)
    defaults = {field.name: default_of(field) for field in dataclasses.fields(HealSpec)}
    return {name: value for name, value in options.items() if value != defaults.get(name)}


def _asked(folder: Path, record: HealRecord) -> Asked:
    """Returns the answers of the base and of the last model to the test items; none of rerankers, which give none."""
    last = "tuned" if record.form == "unchanged" else "healed"
    paths = [folder / "answers" / f"{side}-test.jsonl" for side in ("base", last)]
    return Asked(*(read_answers(str(path)) if path.exists() else Answers() for path in paths))


def _both(record: HealRecord) -> Table:
    """Returns the scores of the base, of the tuned and of the healed model."""
    tuned: dict[str, SuiteRow] = {row.name: row for row in record.before.suites}
    rows: list[Sequence[Cell]] = []
    for row in record.suites:
        scores = (row.before, tuned[row.name].after, row.after)
        rows.append([name(row.name), f"{row.items:,}", *(number(score, row.unit) for score in scores)])
    words: list[Cell] = ["verdict", "", "", Word(record.before.verdict.word)]
    rows.append([*words, Word(record.verdict.word if record.verdict is not None else "")])
    columns = ("suite", "items", "base", "tuned", "healed")
    return Table("The three models on the test items", columns, rows)


def _search(record: HealRecord) -> list[Block]:
    """Returns the edit that was chosen, and every reading and glance of the search."""
    search, edit = record.search, record.edit
    pairs = [
        ("evaluations", f"{search.evaluations:g} of at most {search.allowed}, of {search.items:,} validation items"),
        ("tuned model", f"takes {search.tuned_spent:.0%} of the budget, with the room for a verdict"),
    ]
    if edit is not None:
        pairs.append(("chosen", f"{edit.name} at {edit.strength:g}: {edit.text}"))
        pairs.append(("inside the budget", "yes" if edit.inside else "no"))
        pairs.append(("change of the weights that is left", f"{edit.change_left:.0%}"))
    rows = [[_word(value) for value in dataclasses.astuple(point)] for point in search.points]
    columns = ("edit", "strength", "budget taken", "gain", "drift of a glance", "way of a glance")
    note = "A strength of 0 is the base, 1 the tuned model. A glance reads a quarter of the items."
    table: list[Block] = [Table("What was read of the edits", columns, rows, note, folded=True)] if rows else []
    return [Facts(pairs), *table]


def _word(value: object) -> str:
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def _retraining(record: HealRecord) -> list[Block]:
    retrained = record.retraining
    if retrained is None:
        return []
    taken = "taken" if retrained.taken else "not taken, because it was no better"
    pairs = [("recipe", retrained.recipe), ("steps", f"{retrained.steps:,}"), ("its weights", taken)]
    return [Facts([*pairs, ("folder", retrained.folder)])]
