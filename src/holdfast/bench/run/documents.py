"""What lies beside a run's model: the recipe in an adapter's file, the card, and the certificate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from holdfast.bench.given.specs import RunSpec
from holdfast.bench.run.model_card import stamp_adapter, write_card
from holdfast.bench.run.proof import write_proof
from holdfast.bench.run.record import RunRecord
from holdfast.core.method import Chain
from holdfast.probes.score import Answers
from holdfast.probes.suite import Suite


def document(
    folder: Path,
    spec: RunSpec,
    recipe: Chain,
    record: RunRecord,
    suites: Sequence[Suite],
    sides: tuple[Answers, Answers],
) -> None:
    """Documents the model of a finished run; the certificate comes last, because it has the digests of the others.

    Args:
        folder: Folder of the model.
        spec: The options of the run.
        recipe: Its recipe.
        record: Its record.
        suites: The suites that were asked.
        sides: The judged answers of the base and of the tuned model.

    Raises:
        HoldfastError: A file cannot be written.
    """
    stamp_adapter(folder, spec, recipe)
    write_card(folder, spec, recipe, record, folder.parent.name)
    write_proof(folder, spec, record, suites, sides)
