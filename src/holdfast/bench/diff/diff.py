"""Compares two models, or their saved answers: the changes item by item, and the verdict under a budget."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from holdfast.bench.diff.asking import asked_rows
from holdfast.bench.diff.ci import comment, junit
from holdfast.bench.diff.diff_record import OPTIONS, DiffRecord, DriftRow, ForgettingRow, RecoveryRow
from holdfast.bench.diff.drifts import drift_rows_of
from holdfast.bench.diff.examples import example_rows
from holdfast.bench.diff.forms import check_tokens, form_notes
from holdfast.bench.diff.recovery import recovery
from holdfast.bench.diff.rerankers import diff_rerankers
from holdfast.bench.diff.watched_items import LeftOut, without_watched
from holdfast.bench.given.asked import load_asked
from holdfast.bench.given.loading import load_tokenizer
from holdfast.bench.given.precision import resolving_precision
from holdfast.bench.given.specs import DiffSpec
from holdfast.bench.machine.env import environment
from holdfast.bench.machine.files import write_atomically, write_json
from holdfast.bench.machine.progress import Progress
from holdfast.bench.machine.verbosity import quiet_libraries
from holdfast.bench.measured.answers import is_saved, read_pair, write_answers
from holdfast.bench.measured.calibration import calibration_of
from holdfast.bench.measured.floor import floor_note
from holdfast.bench.measured.learning import learning_of
from holdfast.bench.measured.measurement import asker_of, measure, row_of
from holdfast.bench.measured.preparation import check_fit, kept_units, learned_as_kept, read_suites
from holdfast.bench.measured.scores import Moment
from holdfast.bench.measured.symptom_record import symptom_rows
from holdfast.bench.measured.thoughts import thought_note
from holdfast.bench.measured.training_data import outputs_beside, taught_outputs, trained_rows
from holdfast.bench.measured.verdict import check_limits, verdict
from holdfast.core.errors import HoldfastError
from holdfast.core.precision import check_precision, computing_in
from holdfast.probes.changes import SuiteChange, changes
from holdfast.probes.score import Answers
from holdfast.stats.flips import Flips
from holdfast.stats.forgetting import forgetting_of
from holdfast.suites.default import default_keep
from holdfast.symptoms.evidence import evidence_of


@resolving_precision
@quiet_libraries()
def diff(spec: DiffSpec, console: Console | None = None) -> DiffRecord:
    """Asks both models the same items, and returns the changes; with saved answers it loads no model.

    Args:
        spec: The options.
        console: Console for progress; stderr by default.

    Raises:
        HoldfastError: For anything that the user can mend.
    """
    console = console or Console(stderr=True)
    record, before, after = diff_rerankers(spec, console) if spec.reranks else _compared(spec, console)
    for path, text in ((spec.junit, junit), (spec.comment, comment)):
        if path is not None:
            write_atomically(Path(path).expanduser(), text(record))
    if spec.out is not None:
        folder = Path(spec.out)
        sides: tuple[tuple[str, Answers, Moment], ...] = (("base", before, "before"), ("tuned", after, "after"))
        for name, side, moment in sides:
            write_answers(folder / f"{name}.jsonl", side, "diff", moment)
        write_json(folder / "env.json", environment())
        write_json(folder / OPTIONS, spec.to_dict())
        write_json(folder / DiffRecord.FILE, record.to_dict())
    return record


def _compared(spec: DiffSpec, console: Console) -> tuple[DiffRecord, Answers, Answers]:
    """Returns the changes of language models, and the answers of both."""
    notes: list[str] = []
    asked = asked_rows(spec, notes)
    _print(notes, console)
    measures = not asked or bool(spec.keep or spec.test or spec.transfer)
    answers = _answers(spec, console) if measures else _Answers(Answers(), Answers())
    before, after = answers.before, answers.after
    suite_changes, budget = changes(before.scores, after.scores), spec.allowed()
    record = DiffRecord(
        base=spec.base,
        tuned=spec.tuned,
        suites=tuple(map(row_of, suite_changes)),
        verdict=None if budget is None else verdict(suite_changes, budget),
        learned=learning_of(suite_changes),
        forgetting=_forgetting(suite_changes),
        examples=example_rows(before, after, spec.examples),
        calibration=calibration_of(before, after),
        drift=answers.drift or None,
        steered=None if answers.left_out is None else answers.left_out.row(),
        recovery=answers.recovery,
        symptoms=symptom_rows(evidence_of(before, after, _outputs(spec, console))) if measures else (),
        asked=asked,
    )
    return record, before, after


@dataclasses.dataclass(frozen=True)
class _Answers:
    """The answers of two models.

    Attributes:
        before: The base's answers.
        after: The tuned model's.
        drift: Drift of the tuned model from the base; empty for saved answers.
        left_out: Items and texts left out, because they steered the training of one model.
        recovery: What of each fallen suite comes back; None if nothing was asked again.
    """

    before: Answers
    after: Answers
    drift: Mapping[str, DriftRow] = dataclasses.field(default_factory=dict)
    left_out: LeftOut | None = None
    recovery: Mapping[str, RecoveryRow] | None = None


def _answers(spec: DiffSpec, console: Console) -> _Answers:
    """Returns the answers of both models: saved ones, or new ones."""
    saved = [is_saved(name) for name in (spec.base, spec.tuned)]
    if any(saved) and not all(saved):
        raise HoldfastError(
            f"{spec.base} and {spec.tuned}: one is a model and one a file of answers; give two models or two files."
        )
    if not any(saved):
        return _asked(spec, console)
    if spec.recover or spec.recover_steps:
        raise HoldfastError("--recover asks the models again; give two models and not two files of answers.")
    if given := [*({*spec.keep} - {default_keep(spec.base)}), *filter(None, (spec.test, spec.transfer))]:
        raise HoldfastError(
            f"{given[0]} is not asked: both files of answers bring their suites; leave out --keep, --test, --transfer."
        )
    notes: list[str] = []
    before, after = read_pair(spec.base, spec.tuned, notes)
    _print(notes, console)
    return _Answers(before, after)


def _outputs(spec: DiffSpec, console: Console) -> list[str] | None:
    """Returns the outputs of the training data that the user names, or those of the run of the tuned model."""
    notes: list[str] = []
    if spec.data is not None:
        outputs: list[str] | None = taught_outputs(spec.data, spec.preference, notes)
    else:
        outputs = outputs_beside(spec.tuned, spec.preference, notes)
    _print(notes, console)
    return outputs


def _asked(spec: DiffSpec, console: Console) -> _Answers:
    """Asks two models all items that did not steer their training, and measures the drift."""
    check_precision(spec.precision)
    tokenizer = load_tokenizer(spec.base)
    notes: list[str] = []
    suites = read_suites(spec, tokenizer, notes, trained_rows(spec.tuned, spec.data, spec.preference, notes))
    notes += learned_as_kept(suites)
    suites, left_out = without_watched(suites, (spec.base, spec.tuned), tokenizer)
    notes += [left_out.sentence()] if left_out is not None else []
    budget = spec.allowed()
    if budget is not None:
        check_limits(budget, kept_units(suites))
    tuned_tokenizer = load_tokenizer(spec.tuned, base=spec.base)
    check_tokens(suites, tokenizer, tuned_tokenizer, spec)
    notes += form_notes(suites, tokenizer, tuned_tokenizer, spec)
    with Progress(console) as progress, progress.phase(f"loading {spec.base}"):
        base = load_asked(spec.base, notes=notes, frozen=not spec.recover_steps)
    notes += check_fit(base, [example for suite in suites for example in suite.texts], spec)
    with Progress(console) as progress, progress.phase(f"loading {spec.tuned}"):
        tuned = load_asked(spec.tuned, base=spec.base, notes=notes, frozen=not spec.recover_steps)
    same_vocabulary = tuned_tokenizer.get_vocab() == tokenizer.get_vocab()
    if not same_vocabulary:
        notes.append("The two models have different tokens, so no drift between them can be measured.")
    _print(notes, console)
    with Progress(console) as progress:
        askers = asker_of(spec, tokenizer), asker_of(spec, tuned_tokenizer)
        before = measure(base, suites, askers[0], "before", progress.measuring)
        _print([floor_note(before.scores), thought_note(before.said, spec.base)], console)
        after = measure(tuned, suites, askers[1], "after", progress.measuring)
        _print([thought_note(after.said, spec.tuned)], console)
        with computing_in(base, spec.precision), computing_in(tuned, spec.precision):
            drift_rows = (
                drift_rows_of(base, tuned, suites, before.said, tokenizer, spec, progress) if same_vocabulary else {}
            )
        again = spec.recover or spec.recover_steps
        regained = recovery(base, tuned, suites, (before, after), askers, spec, progress) if again else None
    return _Answers(before, after, drift_rows, left_out, regained)


def _print(notes: Sequence[str], console: Console) -> None:
    for note in filter(None, notes):
        console.print(f"  {note}", style="yellow", highlight=False, markup=False)


def _forgetting(suite_changes: Sequence[SuiteChange]) -> dict[str, ForgettingRow]:
    """Returns forgetting item by item; corrected for guessing if the number of choices is known."""
    rows = {}
    for change in suite_changes:
        if change.role == "retained" and isinstance(change.evidence, Flips):
            forgetting = forgetting_of(change.by_options or {None: change.evidence})
            rows[change.name] = ForgettingRow(
                negative_flips=forgetting.negative_flips,
                relative=forgetting.relative,
                of_right=forgetting.of_right,
                lost_share=forgetting.lost,
                known_share=forgetting.known,
                of_known=forgetting.of_known,
                gained_share=forgetting.gained,
            )
    return rows
