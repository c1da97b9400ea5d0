"""`holdfast plan --check`: what a config does, which of its settings are known to forget, and its translation."""

from __future__ import annotations

import dataclasses
import re
import textwrap
from pathlib import Path
from typing import Any

from holdfast.bench.given.loading import config_of
from holdfast.bench.given.model_files import base_of, folder_of_model, folder_or_name, is_adapter
from holdfast.bench.given.specs import PlanSpec, RunSpec
from holdfast.bench.given.yaml_files import as_yaml, write_new
from holdfast.bench.plan.check.config import TrainingConfig
from holdfast.bench.plan.check.files import read_training
from holdfast.bench.plan.check.lints import LINTS
from holdfast.bench.plan.check.translation import translated
from holdfast.bench.run.estimate import bare_parameters
from holdfast.core.errors import HoldfastError
from holdfast.recipe import parse

_SIZE = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)\s?([bm])(?![a-z])", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Issue:
    """A setting that is known to forget.

    Attributes:
        name: Name of the lint.
        says: What the config does.
        change: What to change.
        evidence: What kind of evidence it has.
        source: Its source.
        figures: By how much, as text.
        because: What the source says.
    """

    name: str
    says: str
    change: str
    evidence: str
    source: str
    figures: tuple[str, ...] = ()
    because: str = ""


@dataclasses.dataclass(frozen=True)
class Checked:
    """A checked config.

    Attributes:
        path: Its file.
        config: The training that it describes.
        parameters: Parameters of the model; None if unknown.
        assumed: Whether they are read from the model's name.
        issues: Settings that are known to forget.
        run: The translation, as a file for `holdfast train --config`.
        changed: The recipe with what holds the model to its base; empty if the config has that.
        left: What has no translation.
        missing: Options of the run that the config does not name.
        written: File to which the translation was written; empty if it was not.
    """

    path: str
    config: TrainingConfig
    parameters: int | None
    assumed: bool
    issues: tuple[Issue, ...]
    run: str
    changed: str
    left: tuple[str, ...]
    missing: tuple[str, ...]
    written: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Returns the check as plain JSON values."""
        return dataclasses.asdict(self)


def check(spec: PlanSpec) -> Checked:
    """Returns the check of a config, and writes its translation if the options name a file.

    Raises:
        HoldfastError: The config cannot be read, is of no known trainer, or its translation is no run.
    """
    assert spec.check is not None
    config = read_training(spec.check)
    parameters, assumed = parameters_of(spec.model or config.model)
    issues = tuple(
        Issue(
            lint.name,
            lint.sentence(config),
            lint.change,
            lint.evidence,
            lint.source,
            tuple(figure.words() for figure in lint.figures),
            lint.because,
        )
        for lint in LINTS
        if lint.applies(config, parameters)
    )
    translation = translated(config, spec.model or "")
    missing = tuple(name for name in ("model", "data") if not translation.options.get(name))
    text = as_yaml(translation.options, _comments(config, translation.changed, translation.left))
    done = Checked(
        spec.check, config, parameters, assumed, issues, text, translation.changed, translation.left, missing
    )
    if not missing:
        parse(RunSpec.from_dict(translation.options, spec.check).recipe)
    if spec.write is None:
        return done
    if missing:
        raise HoldfastError(f"{spec.check} names no {' and no '.join(missing)}, so there is no run to write; add it.")
    write_new(spec.write, text)
    return dataclasses.replace(done, written=spec.write)


def _comments(config: TrainingConfig, changed: str, left: tuple[str, ...]) -> list[str]:
    """Returns the lines above the translation."""
    lines: list[str] = [f"Translated from a config of {config.trainer}; the settings are its own."]
    lines += [f"Not translated: {sentence}" for sentence in left]
    if config.unknown:
        lines.append(f"Not translated, because unknown: {', '.join(config.unknown)}")
    if config.idle:
        lines.append(f"Left out, without an effect on what is learned: {', '.join(config.idle)}")
    lines += config.notes
    lines = [line for long in lines for line in textwrap.wrap(long, 77)]
    if changed:
        lines += ["To keep what the model can do, replace the recipe and measure:", f"recipe: {changed!r}"]
        lines.append("keep: [general]")
    return lines


def parameters_of(model: str) -> tuple[int | None, bool]:
    """Returns the number of parameters of a model, and whether it is only read from the name; None if unknown."""
    name = folder_or_name(model) if model else ""
    if name and Path(name).expanduser().is_dir():  # a name of the hub would need the network
        folder = folder_of_model(name)
        whole = base_of(folder) if folder is not None and is_adapter(folder) else name
        if Path(whole).expanduser().is_dir():
            return bare_parameters(config_of(whole)), False
    sizes = _SIZE.findall(Path(model).name)
    if not sizes:
        return None, True
    number, letter = sizes[0]
    return round(float(number) * (10**9 if letter.lower() == "b" else 10**6)), True
