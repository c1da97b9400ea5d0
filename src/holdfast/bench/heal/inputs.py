"""What a healing is given: options, those of a finished run filled in, and suites in validation and test items."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from holdfast.bench.diff.watched_items import LeftOut, without_watched
from holdfast.bench.given.heal_spec import SELF, HealSpec
from holdfast.bench.given.options import default_of, flag_of
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.heal.validation import Validated
from holdfast.bench.measured.preparation import kept_units, prepare_data, read_suites
from holdfast.bench.measured.verdict import check_limits
from holdfast.bench.run.inputs import memory_paths
from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.core.guard import AUTO
from holdfast.data.examples import read
from holdfast.methods.adapter import Adapter
from holdfast.probes.suite import Suite
from holdfast.recipe import parse
from holdfast.suites.default import default_keep

_FROM_RUN = ("test", "transfer", "keep", "data", "task")
"""Options that a finished run supplies where they are empty (or auto); `HealSpec.resolved` fills in the others."""
_READING = tuple(field.name for field in dataclasses.fields(HealSpec) if "otherwise" in field.metadata)
OF_TEXT = ("raw", "loss_on", "over_long", "refused", "preference")
"""Options that concern generated text alone."""


@dataclasses.dataclass(frozen=True)
class HealInputs:
    """The inputs of a healing.

    Attributes:
        spec: The options, with those of a run filled in.
        tuned: Folder or name of the tuned model.
        run: The options of the run that trained it; None if it is not the folder of a run.
        rate: The learning rate of that run; None without one.
        rehearsed: Files of old examples that it trained on.
    """

    spec: HealSpec
    tuned: str
    run: RunSpec | None = None
    rate: float | None = None
    rehearsed: tuple[str, ...] = ()

    @property
    def budget(self) -> Budget:
        """Returns the budget; raises `HoldfastError` if the user gives none."""
        budget = self.spec.allowed()
        if budget is None:
            raise HoldfastError("--budget is missing: say what may be lost, as in --budget points=2.")
        return budget

    @property
    def sources(self) -> dict[str, str]:
        """Returns the files of old examples by name; empty if the base writes them."""
        if self.spec.memory == (SELF,):
            return {}
        return {name: path for name, _, path in (entry.partition("=") for entry in self.spec.memory)}

    def keeping(self, source: str) -> HealInputs:
        """Returns the inputs with one source that is kept."""
        run = None if self.run is None else dataclasses.replace(self.run, keep=(source,))
        return dataclasses.replace(self, spec=dataclasses.replace(self.spec, keep=(source,)), run=run)

    def running_as(self, other: RunSpec | None) -> HealInputs:
        """Returns the inputs with the seed, `training`, packing and `memory_check` of another run, if there is one."""
        if self.run is None or other is None:
            return self
        return dataclasses.replace(
            self,
            run=dataclasses.replace(
                self.run,
                seed=other.seed,
                training=other.training,
                packing=other.packing,
                memory_check=other.memory_check,
            ),
        )


def inputs_of(spec: HealSpec) -> HealInputs:
    """Returns the inputs; the folder of a finished run supplies the options that are not given.

    Raises:
        HoldfastError: The folder holds an unfinished run, there is no budget, nothing is to be kept, or a retraining
            has no data.
    """
    folder = Path(spec.tuned).expanduser()
    is_run = (folder / "spec.json").exists()
    inputs = _of_run(spec, folder) if is_run else HealInputs(spec.resolved(), spec.tuned)
    if inputs.spec.memory and inputs.spec.data is None:
        raise HoldfastError("--memory is for a retraining, which also needs what the fine-tune learned: give --data.")
    _check_whole(inputs.spec)
    if inputs.spec.reranks:
        _refuse_without_effect(inputs.spec)
        return inputs
    if not inputs.spec.keep and inputs.budget.points is None:
        raise HoldfastError("--keep is missing: name files or suites that the model must not get worse at.")
    if not inputs.spec.keep:
        inputs = inputs.keeping(default_keep(spec.base))
    return inputs


def _refuse_without_effect(spec: HealSpec) -> None:
    """Raises `HoldfastError` for an option that says how generated text is read."""
    for field in dataclasses.fields(spec):
        if field.name in OF_TEXT and getattr(spec, field.name) != default_of(field):
            raise HoldfastError(f"{flag_of(field.name)} has no effect on rerankers; leave it out.")


def _check_whole(spec: HealSpec) -> None:
    """Raises `HoldfastError` for a recipe that would put an adapter on the whole weights of an edited model."""
    parts = () if spec.recipe is None else parse(spec.recipe).parts()
    adapter = next((part for part in parts if isinstance(part, Adapter)), None)
    if adapter is not None:
        raise HoldfastError(
            f"--recipe: {adapter!r} trains an adapter on the base, and a retraining begins at the edited weights, which"
            " an adapter cannot hold; leave it out."
        )


def _of_run(spec: HealSpec, folder: Path) -> HealInputs:
    if not ((folder / "result.json").exists() and (folder / "model").is_dir()):
        raise HoldfastError(
            f"{folder} holds an unfinished run; finish it with `holdfast train --resume`, and then heal it."
        )
    run, rate = _read_run(folder)
    defaults = {field.name: field.default for field in dataclasses.fields(HealSpec)}
    filled = {name: getattr(run, name) for name in _FROM_RUN if getattr(spec, name) == defaults[name]}
    if not spec.budget:
        filled["budget"] = {name: value for name, value in run.budget.items() if name in ("points", "nll", "claim")}
    spec = spec.resolved(run, **filled)
    given = {name: value for name in (*_FROM_RUN, *_READING) if (value := getattr(spec, name)) is not None}
    rehearsed = () if spec.reranks else tuple(memory_paths(parse(run.recipe), run)[0].values())
    return HealInputs(spec, str(folder / "model"), dataclasses.replace(run, **given, name=None), rate, rehearsed)


def _read_run(folder: Path) -> tuple[RunSpec, float | None]:
    """Returns the options of a run, and its learning rate if the folder has it."""
    try:
        values = json.loads((folder / "spec.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HoldfastError(f"{folder}/spec.json cannot be read ({error}); give the folder {folder}/model.") from error
    names = {field.name for field in dataclasses.fields(RunSpec)}
    options = {name: value for name, value in values.items() if name in names}
    if options.get("recipe") == AUTO:
        options["recipe"] = values.get("resolved_recipe", AUTO)  # what the plan chose
    rate = (values.get("resolved") or {}).get("learning_rate")
    run = RunSpec.from_dict(options, f"{folder}/spec.json")
    return run, float(rate) if isinstance(rate, (int, float)) else None


@dataclasses.dataclass(frozen=True)
class HealSuites:
    """What is asked.

    Attributes:
        validation: Suites for the search, with items of the validation side alone.
        test: Suites for the verdict, without any item of the validation side.
        left_out: Items and texts that steered the training and are not judged; None without any.
    """

    validation: tuple[Suite, ...]
    test: tuple[Suite, ...]
    left_out: LeftOut | None


def suites_of(inputs: HealInputs, tokenizer: Any, notes: list[str]) -> HealSuites:
    """Reads the suites and splits them: validation items for the search, test items for the verdict.

    A suite with items on one side alone is only judged.

    Raises:
        HoldfastError: A file is missing or malformed, the budget limits nothing, or no suite to keep has both sides.
    """
    suites = _read(inputs, tokenizer, notes)
    check_limits(inputs.budget, kept_units(suites))
    wanted = [suite for suite in suites if _steers(suite, inputs.budget)]
    searched = [suite.side("watch") for suite in wanted if {*suite.splits()} == {"watch", "proof"}]
    check_sides(wanted, searched)
    names = {suite.name for suite in searched} | {suite.name for suite in suites if suite.role == "transfer"}
    if others := [suite.name for suite in suites if suite.name not in names]:
        notes.append(f"The search does not ask {', '.join(others)}: not limited, or all items are on one side.")
    judged = [suite.side("proof") if "proof" in suite.splits() else suite for suite in suites]
    test, left_out = without_watched(judged, (inputs.spec.base, inputs.tuned), tokenizer)
    return HealSuites(tuple(searched), tuple(test), left_out)


def check_sides(wanted: Sequence[Validated], searched: Sequence[Validated]) -> None:
    """Raises `HoldfastError` if no suite to keep has items on both sides."""
    if not any(suite.role == "retained" for suite in searched):
        counts = ", ".join(f"{suite.name} ({len(suite)})" for suite in wanted if suite.role == "retained")
        raise HoldfastError(
            f"No suite to keep has both validation items and test items: {counts}; give more items (a few dozen), or"
            " of a suite of ground: the part /cut, which has both."
        )


def _steers(suite: Suite, budget: Budget) -> bool:
    """Returns whether a suite says something to the search: what was learned, or what the budget limits."""
    return suite.role == "learned" or (suite.role == "retained" and bool(suite.units() & budget.limits.keys()))


def _read(inputs: HealInputs, tokenizer: Any, notes: list[str]) -> list[Suite]:
    """Reads the suites, without what the fine-tune or the retraining learned from."""
    spec = inputs.spec
    if inputs.run is not None:
        old = dict.fromkeys([*inputs.rehearsed, *inputs.sources.values()])
        data = prepare_data(inputs.run, tokenizer, tuple(old))
        notes += data.notes
        return list(data.suites)
    sources = [*([spec.data] if spec.data else []), *inputs.sources.values()]
    trained = [row for source in sources for row in read(source, preference=spec.preference, notes=notes)]
    return read_suites(spec, tokenizer, notes, trained)
