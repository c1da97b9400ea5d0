"""What lies beside a healed model: the card, the certificate, and the edit in an adapter's file."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import holdfast
from holdfast.bench.heal.heal_record import HealRecord
from holdfast.bench.heal.inputs import HealInputs
from holdfast.bench.run.adapter_metadata import ADAPTER, add_metadata
from holdfast.bench.run.model_card import Card, code_block, is_adapter_folder, plain_text, write_card
from holdfast.bench.run.proof import Judged, asked_how, write_proof
from holdfast.probes.score import Answers


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What the verdict on a healed model rests on.

    Attributes:
        suites: The suites with their test items.
        sides: The answers of the base and of the healed model to these.
        watched: Suites of which the other side steered the healing.
        keep: Sources of what is kept.
    """

    suites: Sequence[Judged]
    sides: tuple[Answers, Answers]
    watched: Sequence[str]
    keep: Sequence[str]


def document_healed(folder: Path, inputs: HealInputs, record: HealRecord, judgement: Judgement) -> None:
    """Documents the healed model of a finished healing; the certificate comes last.

    Args:
        folder: Folder of the model.
        inputs: The inputs of the healing.
        record: Its record.
        judgement: What the verdict rests on.

    Raises:
        HoldfastError: A file cannot be written.
    """
    base, ranks = inputs.spec.base, inputs.spec.reranks
    edit = "" if record.edit is None else f"{record.edit.name} {record.edit.strength:g}"
    if (folder / ADAPTER).exists():
        values = {"base": base, "tuned": record.tuned, "edit": edit, "made_by": f"holdfast {holdfast.__version__}"}
        add_metadata(folder / ADAPTER, {f"holdfast.{key}": value for key, value in values.items()})
    write_card(folder, _card(folder, inputs, record, judgement.keep))
    asked = asked_how(inputs.spec, judgement.keep, ranks=ranks)
    write_proof(folder, base, record, HealRecord.FILE, asked, judgement.watched, judgement.suites, judgement.sides)


def _card(folder: Path, inputs: HealInputs, record: HealRecord, keep: Sequence[str]) -> Card:
    retrained, edit = record.retraining, record.edit
    made = ["## Healing", "", plain_text(record.sentence)]
    if retrained is not None and retrained.taken:
        made += ["", "The weights are those of a short retraining from there:", "", *code_block(retrained.recipe)]
    facts = {
        "Fine-tune": plain_text(record.tuned),
        "Edit": "" if edit is None else f"{edit.name}, strength {edit.strength:g}: {plain_text(edit.text)}",
        "Change of the weights that is left": "" if edit is None else f"{edit.change_left:.0%}",
        "To keep": ", ".join(map(plain_text, keep)),
        "Evaluations of the search": f"{record.search.evaluations:g} of {record.search.allowed}",
    }
    return Card(
        name=folder.parent.name,
        base=record.base,
        about=f"{plain_text(record.tuned)}, a fine-tune of {plain_text(record.base)}, brought back inside a budget with"
        f" Holdfast {holdfast.__version__}, which measured what is learned and forgotten since the base.",
        record=record,
        made=made,
        facts=facts,
        adapter=is_adapter_folder(folder),
        ranks=inputs.spec.reranks,
    )
