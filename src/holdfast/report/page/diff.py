"""The part of a page on a diff."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from holdfast.bench.diff.diff_record import OPTIONS, AnswerRow, DiffRecord, DriftRow, ForgettingRow
from holdfast.bench.given.specs import DiffSpec
from holdfast.bench.measured.answers import read_answers
from holdfast.probes.score import Answers
from holdfast.report.page.again import command
from holdfast.report.page.blocks import Block, Code, Paragraphs, Part, Quotes, Table, Word, sections
from holdfast.report.page.clean import name, place_name
from holdfast.report.page.outcome import Asked, environment_block, outcome_sections
from holdfast.report.page.quotes import SHOWN, made
from holdfast.report.page.run import read_object
from holdfast.report.page.sentence import sentence
from holdfast.report.recovery import recovery_lines


def is_diff(folder: Path) -> bool:
    """Returns whether a folder is one that `holdfast diff --out` wrote."""
    return (folder / DiffRecord.FILE).is_file()


def diff_part(folder: Path, quotes: int = SHOWN) -> Part:
    """Returns the part on a diff.

    Raises:
        HoldfastError: A file of the folder cannot be read.
    """
    record = DiffRecord.read(folder)
    sides = [_answers(folder / f"{side}.jsonl") for side in ("base", "tuned")]
    options = read_object(folder / OPTIONS)
    again: list[Block] = [Code(command("diff", DiffSpec, options, ("base", "tuned")))] if options else []
    steered = [] if record.steered is None else [record.steered.sentence]
    recovery = [line.strip() for line in recovery_lines(record.recovery)]
    return Part(
        kind="Two models compared",
        title=f"{place_name(record.base)} → {place_name(record.tuned)}",
        word=None if record.verdict is None else Word(record.verdict.word),
        sentence=sentence(record, "the tuned model"),
        sections=[
            *sections(("Questions", _asked(record.asked))),
            *outcome_sections(record, Asked(*sides), quotes),
            *sections(
                ("Drift from the base", _drift(record.drift or {})),
                ("Forgotten answers", _forgotten(record.forgetting)),
                ("Recovery", [Paragraphs(recovery)] if recovery else []),
                ("Items that were left out", [Paragraphs(steered)] if steered else []),
                ("Environment", environment_block(read_object(folder / "env.json"))),
                ("Run it again", again),
            ),
        ],
    )


def _answers(path: Path) -> Answers:
    """Returns saved answers; none of a diff of the user's own questions alone, whose files are empty."""
    return read_answers(str(path)) if path.exists() and path.stat().st_size else Answers()


def _asked(rows: Sequence[AnswerRow]) -> list[Block]:
    """Returns the answers to the user's own questions."""
    if not rows:
        return []
    texts = [[row.suite, row.item, row.asked, row.right, row.before, row.after] for row in rows]
    return [Quotes("Questions that were asked beside the suites, and are not judged", [made(text) for text in texts])]


def _drift(rows: Mapping[str, DriftRow]) -> list[Block]:
    cells = [
        [
            f"{key} prompts",
            f"{row.nats_per_token:.4f}" + ("" if row.low is None else f" [{row.low:.4f}, {row.high:.4f}]"),
            row.size,
            f"{row.documents:,}",
        ]
        for key, row in rows.items()
    ]
    columns = ("measured on", "KL(base || tuned) in nats per token [95% interval]", "size", "texts")
    return [Table("How far the tuned model moved", columns, cells)] if cells else []


def _forgotten(rows: Mapping[str, ForgettingRow]) -> list[Block]:
    cells = [
        [
            name(suite),
            f"{row.negative_flips:.1%}",
            *("" if value is None else f"{value:.1%}" for value in (row.known_share, row.lost_share)),
        ]
        for suite, row in rows.items()
    ]
    columns = ("suite", "right before, wrong after", "known before", "forgotten")
    note = "Known and forgotten are corrected for lucky guesses; they are blank where the number of choices is unknown."
    return [Table("Forgetting, item by item", columns, cells, note, folded=len(cells) > 12)] if cells else []
