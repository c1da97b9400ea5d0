"""The training data of a tuned model, for the symptoms that compare answers with what was taught."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

from holdfast.core.errors import HoldfastError
from holdfast.core.guard import AUTO
from holdfast.data.examples import read
from holdfast.data.holdout import split_held_out
from holdfast.data.preference import Preference
from holdfast.data.rows import Row
from holdfast.recipe import parse
from holdfast.symptoms.outputs import outputs_of
from holdfast.symptoms.wording import evenly

MOST = 50_000
"""Most training outputs that answers are compared with; evenly chosen."""


def taught_outputs(source: str, preference: Preference, notes: list[str]) -> list[str]:
    """Returns the outputs that training data teach.

    Args:
        source: The data, as `--data` of `holdfast train` names them.
        preference: What to do with rows that have a chosen and a rejected answer.
        notes: List that receives a note if only a part of the outputs is used.

    Raises:
        HoldfastError: The data cannot be read.
    """
    outputs = outputs_of(read(source, preference=preference))
    if len(outputs) > MOST:
        notes.append(f"Symptoms compare answers with {MOST:,} of the {len(outputs):,} outputs of {source}.")
    return evenly(outputs, MOST)


def data_of_run(model: str) -> str | None:
    """Returns the training data that the run of a model names; None if no run's options lie beside the model."""
    return _options_beside(model).get("data")


def _options_beside(model: str) -> dict[str, Any]:
    """Returns the options of the run of a model, which name its data; empty if none lie beside the model."""
    folder = Path(model).expanduser()
    for path in (folder.parent / "spec.json", folder / "spec.json"):
        try:
            options = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(options, dict) and isinstance(options.get("data"), str):
            return options
    return {}


def trained_rows(model: str, source: str | None, preference: Preference, notes: list[str] | None = None) -> list[Row]:
    """Returns the rows that a model was trained on, those that its run rehearsed included.

    Args:
        model: The model, in whose run's folder options may lie.
        source: The data, if the user names them; all of them count then.
        preference: What to do with rows that have a chosen and a rejected answer; what a run read, it read by its own
            options.
        notes: List that receives a note for data and old examples that cannot be read.

    Returns:
        The rows; those of a run without what it held out. Empty if the data are not known, or cannot be read.
    """
    options = _options_beside(model)
    return [
        *_taught_rows(source, options if source is None else {}, preference, notes),
        *_old_rows(options, _preference_of(options, preference), notes),
    ]


def _preference_of(run: dict[str, Any], preference: Preference) -> Preference:
    """Returns how a run read rows with a chosen and a rejected answer; `preference` if its options do not say it."""
    return next((word for word in get_args(Preference) if word == run.get("preference")), preference)


def _taught_rows(source: str | None, run: dict[str, Any], preference: Preference, notes: list[str] | None) -> list[Row]:
    """Returns the rows of the data, without those that the run held out."""
    place = run.get("data") if source is None else source
    if place is None:
        return []
    try:
        rows = read(place, preference=_preference_of(run, preference))
        share = 0.0 if run.get("test") is not None else float(run.get("held_out") or 0.0)
        return split_held_out(rows, share, seed=0)[0] if share else rows
    except HoldfastError as error:
        if notes is not None:
            notes.append(
                f"What the model was trained on is not known ({str(error).rstrip('.')}), and is judged; name it with"
                " --data."
            )
        return []


def _old_rows(run: dict[str, Any], preference: Preference, notes: list[str] | None) -> list[Row]:
    """Returns the old examples that the recipe of a run names; none where the model itself wrote them."""
    recipe = run.get("resolved_recipe") if run.get("recipe") == AUTO else run.get("recipe")
    try:
        parts = parse(str(recipe)).active().parts() if recipe else ()
    except HoldfastError:  # of another version, or with a method of a package that is not here
        return []
    paths = {name: path for name, _, path in (str(entry).partition("=") for entry in run.get("memory") or ())}
    rows: list[Row] = []
    for name in sorted({name for part in parts for name in part.sources}):
        try:
            rows += read(paths.get(name, name), preference=preference)
        except HoldfastError as error:
            if notes is not None:
                notes.append(
                    f"What the run rehearsed of {name} is not known ({str(error).rstrip('.')}), and is judged."
                )
    return rows


def outputs_beside(model: str, preference: Preference, notes: list[str]) -> list[str] | None:
    """Returns the outputs of the training data that the run of a model names; None, with a note, if they are gone."""
    source, options = data_of_run(model), _options_beside(model)
    if source is None:
        return None
    try:
        return taught_outputs(source, _preference_of(options, preference), notes)
    except HoldfastError as error:
        notes.append(f"The training data of {model} cannot be read ({str(error).rstrip('.')}); name them with --data.")
        return None
