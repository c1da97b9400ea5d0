"""The sections that a run and a diff share: the verdict, the table, the answers, the symptoms, the calibration."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from rich.errors import MarkupError
from rich.text import Text

from holdfast.bench.measured.calibration_record import CalibrationFigure, CalibrationRow
from holdfast.bench.measured.outcome import Outcome, SuiteRow
from holdfast.bench.measured.symptom_record import SymptomRow
from holdfast.probes.score import Answers
from holdfast.report.calibration import MEANS, NAMES, sentences
from holdfast.report.page.blocks import Block, Cell, Facts, Paragraphs, Quotes, Section, Table, Word, sections
from holdfast.report.page.charts import changes_chart
from holdfast.report.page.clean import name
from holdfast.report.page.quotes import changed_blocks, harmful_names, symptom_quotes
from holdfast.report.ranking import points_of
from holdfast.report.reading import learned_lines, number, reading, words_of
from holdfast.report.table import verdict_lines

ROLES = {"learned": "to learn", "transfer": "transfer", "retained": "to keep"}


@dataclasses.dataclass(frozen=True)
class Asked:
    """The answers of both models on the items that are judged.

    Attributes:
        before: The base's answers.
        after: The tuned model's answers.
    """

    before: Answers = dataclasses.field(default_factory=Answers)
    after: Answers = dataclasses.field(default_factory=Answers)


def plain(lines: Iterable[str]) -> list[str]:
    """Returns lines for a terminal without their markup and indentation."""
    texts = []
    for line in lines:
        try:
            texts.append(Text.from_markup(line).plain.strip())
        except MarkupError:  # a name from the data looks like markup
            texts.append(line.strip())
    return [text for text in texts if text]


def outcome_sections(record: Outcome, asked: Asked, quotes: int) -> list[Section]:
    """Returns the sections on the verdict, the suites, the changed answers, the symptoms and the calibration."""
    judged = [] if record.verdict is None else verdict_lines(record.verdict, record.suites)
    learned = [] if record.learned is None else learned_lines(record.learned)
    lines = plain([*judged, *learned])
    plots = [changes_chart(record.suites, record.verdict, unit) for unit in ("points", "nats")]
    changed = changed_blocks(asked.before, asked.after, quotes)
    return sections(
        ("Verdict", [Paragraphs(lines)] if lines else []),
        ("Before and after", [_table(record), *(plot for plot in plots if plot is not None)]),
        ("What was lost and gained", changed),
        ("Symptoms", symptom_blocks(record.symptoms, asked)),
        ("Calibration of choices", calibration_blocks(record.calibration if hasattr(record, "calibration") else None)),
    )


def _table(record: Outcome) -> Table:
    """Returns the table of scores with paired intervals."""
    words = words_of(record.verdict, record.learned)
    flips = ("lost", "gained") if any(row.answers_lost is not None for row in record.suites) else ()
    columns = ("suite", "role", "items", "before", "after", "change [95% interval]", *flips, "reading")
    rows = [_row(row, words.get(row.name) or reading(row), len(flips)) for row in record.suites]
    units = {row.unit for row in record.suites}
    points = points_of(getattr(record, "ranking", None))
    note = {"points": f"{points}, higher is better", "nats": "nats per supervised token, lower is better"}
    means = "; ".join(text for unit, text in note.items() if unit in units)
    caption = "Scores of the same items before and after"
    return Table(caption, columns, rows, f"Before and after: {means}. Intervals pair the items.")


def _row(row: SuiteRow, word: str, flips: int) -> list[Cell]:
    unit = row.unit
    counts = ("" if count is None else f"{count:,}" for count in (row.answers_lost, row.answers_gained)[:flips])
    ends = " [one document]" if row.low is None else f" [{number(row.low, unit, '+')}, {number(row.high, unit, '+')}]"
    return [
        name(row.name),
        ROLES[row.role],
        f"{row.items:,}",
        number(row.before, unit),
        number(row.after, unit),
        f"{number(row.change, unit, '+')}{ends}",
        *counts,
        Word(word),
    ]


def symptom_blocks(rows: Sequence[SymptomRow], asked: Asked) -> list[Block]:
    """Returns the symptoms: those that are present with quotes, then the table of all."""
    if not rows:
        return []
    checked = [row for row in rows if row.unchecked is None]
    present = [row for row in checked if row.present]
    harmful = harmful_names(asked.before)
    seen = f"{len(present)} {'is' if len(present) == 1 else 'are'} present" if present else "none is present"
    blocks: list[Block] = [Paragraphs([f"Of {len(rows)} symptoms {len(checked)} were checked, and {seen}."])]
    for row in present:
        quotes = symptom_quotes(row, harmful)
        blocks.append(Quotes(f"{row.name} ({row.family}): {row.sentence}", quotes))
    if checked:
        cells = [[row.name, row.family, _effect(row), f"{row.threshold:g}", _p(row), _present(row)] for row in checked]
        columns = ("symptom", "family", "effect in points [95% interval]", "threshold", "p (Holm)", "reading")
        blocks.append(Table("Symptoms that were checked", columns, cells, folded=True))
    if unchecked := [(row.name, str(row.unchecked)) for row in rows if row.unchecked is not None]:
        blocks.append(Table("Symptoms that were not checked", ("symptom", "why"), unchecked, folded=True))
    return blocks


def _effect(row: SymptomRow) -> str:
    if row.effect is None:
        return ""
    ends = "" if row.low is None or row.high is None else f" [{row.low:+z.1f}, {row.high:+z.1f}]"
    return f"{row.effect:+z.1f}{ends}"


def _p(row: SymptomRow) -> str:
    return "" if row.p_holm is None else "< 0.001" if row.p_holm < 0.001 else f"{row.p_holm:.3f}"


def _present(row: SymptomRow) -> str:
    return "present" if row.present else "not seen"


def calibration_blocks(record: CalibrationRow | None) -> list[Block]:
    """Returns the calibration before and after; nothing without choices."""
    if record is None:
        return []
    suites = [*([] if record.retained is None else [record.retained]), *record.suites]
    rows: list[list[Cell]] = []
    for suite in suites:
        for key, title in NAMES.items():
            figure: CalibrationFigure | None = getattr(suite, key)
            if figure is not None:
                rows.append([f"{name(suite.name)} ({suite.items:,})", title, *_figures(figure)])
    lines = list(sentences(record))
    blocks: list[Block] = []
    if rows:
        columns = ("suite (choices)", "figure", "before", "after", "change [95% interval]")
        blocks.append(Table("Whether the model is as sure as it is right", columns, rows, MEANS, folded=len(rows) > 12))
    return [*blocks, *([Paragraphs(lines)] if lines else [])]


def _figures(figure: CalibrationFigure) -> list[Cell]:
    change = figure.change
    ends = "" if change.low is None else f" [{change.low:+z.3f}, {change.high:+z.3f}]"
    return [f"{figure.before.value:z.3f}", f"{figure.after.value:z.3f}", f"{change.value:+z.3f}{ends}"]


def environment_block(values: dict[str, object]) -> list[Block]:
    """Returns the versions and the machine of an env.json."""
    if not values:
        return []
    packages = values.get("packages")
    versions = packages if isinstance(packages, dict) else {}
    pairs = [(str(key), _said(value)) for key, value in values.items() if key != "packages" and value not in ([], None)]
    return [Facts([*pairs, ("packages", ", ".join(f"{key} {value}" for key, value in versions.items()))])]


def _said(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={entry}" for key, entry in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
