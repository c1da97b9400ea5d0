"""The folder of a healing: begun, recognised, and never taken from something else."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from holdfast.bench.given.heal_spec import HealSpec
from holdfast.bench.given.model_content import model_digest
from holdfast.bench.given.options import default_of
from holdfast.bench.heal.heal_record import HealRecord
from holdfast.bench.heal.inputs import HealInputs
from holdfast.bench.machine.env import environment
from holdfast.bench.machine.files import write_json
from holdfast.core.errors import HoldfastError

FILE = "heal-spec.json"
_NOT_ITS_OWN = ("out", "eval_batch_tokens")
_AFTER = ("evaluations", "edits", "memory", "data", "recipe")
"""Options that may change: the answers of the edits stay right."""


def finished(folder: Path, inputs: HealInputs, questions: str) -> bool:
    """Returns whether a folder holds this healing, finished.

    An interrupted one continues, and so does one with other edits, more evaluations, or old examples; what was asked
    stays.

    Args:
        folder: The folder.
        inputs: The inputs of the healing.
        questions: Digest of all questions.

    Raises:
        HoldfastError: The folder belongs to another healing or to something else.
    """
    if not folder.exists():
        return False
    if not has_begun(folder):
        if folder.is_file() or any(path.is_file() and path.parent.name != "work" for path in folder.glob("*")):
            raise HoldfastError(f"{folder} is not the folder of a healing; choose another with --out.")
        return False
    try:
        there = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HoldfastError(f"{folder / FILE} cannot be read ({error}); delete {folder}.") from error
    here = _identity(inputs, questions)
    defaults = {field.name: default_of(field) for field in dataclasses.fields(HealSpec)}  # of options that it has not
    different = sorted(name for name in here if there.get(name, defaults.get(name)) != here[name])
    if others := [name for name in different if name not in _AFTER]:
        raise HoldfastError(
            f"{folder} holds a healing with another {', '.join(others)}; choose another folder with --out."
        )
    return not different and (folder / HealRecord.FILE).exists()


def has_begun(folder: Path) -> bool:
    """Returns whether a folder says which healing it belongs to."""
    return (folder / FILE).exists()


def begin(folder: Path, inputs: HealInputs, questions: str) -> None:
    """Writes the options and the environment, and deletes the record of a healing with other options."""
    (folder / HealRecord.FILE).unlink(missing_ok=True)
    write_json(folder / FILE, _identity(inputs, questions))
    write_json(folder / "env.json", environment())


def _identity(inputs: HealInputs, questions: str) -> dict[str, Any]:
    options = {name: value for name, value in inputs.spec.to_dict().items() if name not in _NOT_ITS_OWN}
    return {
        **options,
        "models": [model_digest(name) for name in (inputs.spec.base, inputs.tuned)],
        "questions": questions,
    }
