"""The old examples of a fit: the user's, or what the base writes once for all trainings."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from holdfast.bench.given.asked import load_asked
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.machine.files import write_json, write_jsonl
from holdfast.bench.machine.progress import Progress
from holdfast.bench.measured.schema import Versioned
from holdfast.bench.run.inputs import text_pieces
from holdfast.core import phases
from holdfast.core.mix import NEW, Example, Mix
from holdfast.core.precision import computing_in
from holdfast.core.run import Run
from holdfast.methods.rehearsal.self_rehearsal import SelfRehearsal

NAME = "old"
"""Name of the old examples that the base wrote, in recipes."""
FILE = "old.jsonl"


@dataclasses.dataclass(frozen=True, kw_only=True)
class OldRecord(Versioned):
    """What the base wrote, stored as old.json.

    Attributes:
        file: File of the examples, which `--memory old=FILE` takes too.
        count: Number of examples.
        seconds: Wall time of the writing.
    """

    FILE = "old.json"

    file: str
    count: int
    seconds: float


def write_old(
    spec: RunSpec, examples: Sequence[Example], tokenizer: Any, folder: Path, console: Console, *, count: int
) -> OldRecord:
    """Lets the base write old examples into a folder, or returns the record of those that it has.

    They are those of `SelfRehearsal()`: documents, or chats if the tokenizer has a template. The rows hold the text as
    the model writes and reads it, with special tokens, and which parts are learned ("segments").

    Args:
        spec: A run of the model, for its name and seed.
        examples: The new examples; the base's examples may not resemble them.
        tokenizer: The model's tokenizer.
        folder: The folder.
        console: Console for progress.
        count: Number of examples wanted.

    Raises:
        HoldfastError: The model cannot be loaded or cannot write, or nothing that it wrote is fit to rehearse.
    """
    if (folder / OldRecord.FILE).exists():
        return OldRecord.read(folder / OldRecord.FILE)
    began = time.monotonic()
    with Progress(console) as progress, phases.shown(progress.measuring):
        with progress.phase(f"loading {spec.model}"):
            model = load_asked(spec.model)
        run = Run(
            model=model,
            mix=Mix(tuple(examples)),
            seed=spec.seed,
            total_steps=0,
            tokenizer=tokenizer,
            longest=lambda: max(len(example.input_ids) for example in examples),
            keep=lambda _name, make: make(),
        )
        with computing_in(model, spec.precision):
            written = [
                example for example in SelfRehearsal(count=count).mix_data(run).examples if example.source != NEW
            ]
    write_jsonl(folder / FILE, ({"segments": _segments(example, tokenizer)} for example in written))
    record = OldRecord(file=str(folder / FILE), count=len(written), seconds=time.monotonic() - began)
    write_json(folder / OldRecord.FILE, record.to_dict())
    return record


def _segments(example: Example, tokenizer: Any) -> list[dict[str, Any]]:
    """Returns an example as segments of text, each with whether it is learned."""
    return [{"text": text, "label": learned} for text, learned in text_pieces(example, tokenizer) if text]
