"""The symptoms of a run, from its saved answers and its training data."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from holdfast.bench.given.specs import RunSpec
from holdfast.bench.machine.files import read_jsonl
from holdfast.bench.measured.answers import said_of
from holdfast.bench.measured.scores import Moment
from holdfast.bench.measured.symptom_record import SymptomRow, symptom_rows
from holdfast.bench.measured.training_data import taught_outputs
from holdfast.bench.run.record import GuardRow
from holdfast.probes.score import Answers, Said, Score
from holdfast.symptoms.evidence import evidence_of

logger = logging.getLogger("holdfast")


def run_symptoms(
    spec: RunSpec, folder: Path, before: Sequence[Score], after: Sequence[Score], guard: GuardRow | None
) -> tuple[SymptomRow, ...]:
    """Returns the symptoms of a run.

    Args:
        spec: Its options.
        folder: Its folder, with the answers before and after training.
        before: The base's scores on the items that may be judged.
        after: The tuned model's scores on them.
        guard: What its guard measured; its looks tell whether a fall was sudden.
    """
    try:
        return _symptoms(spec, folder, before, after, guard)
    except Exception as error:  # no error of a test is worth losing the record of a training
        logger.warning("The symptoms of the run could not be tested (%s); its record has none.", error)
        return ()


def _symptoms(
    spec: RunSpec, folder: Path, before: Sequence[Score], after: Sequence[Score], guard: GuardRow | None
) -> tuple[SymptomRow, ...]:
    said: dict[Moment, list[Said]] = {"before": [], "after": []}
    path = folder / "answers.jsonl"
    for number, row in enumerate(read_jsonl(path), 1) if path.exists() else ():
        said[row["moment"]].append(said_of(row, f"{path}:{number}"))
    notes: list[str] = []
    outputs = taught_outputs(spec.data, spec.preference, notes)
    for note in notes:
        logger.warning("%s", note)
    base, tuned = Answers(before, said["before"]), Answers(after, said["after"])
    return symptom_rows(evidence_of(base, tuned, outputs, checkpoints_of(guard)))


def checkpoints_of(guard: GuardRow | None) -> dict[str, list[float]]:
    """Returns what the guard's looks found kept, in points below the start, which is the first value."""
    losses = [look.points_lost for look in guard.looks] if guard is not None else []
    known = [loss for loss in losses if loss is not None and abs(loss) < float("inf")]
    return {"the watched items": [0.0, *(-loss for loss in known)]} if known and len(known) == len(losses) else {}
