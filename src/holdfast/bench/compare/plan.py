"""The runs of a comparison: recipes x doses x seeds, and the trainings that they share."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from holdfast.bench.given.recipe_sets import recipes_of
from holdfast.bench.given.specs import CompareSpec, RunSpec, TrainingSpec
from holdfast.bench.run.arguments import rate_of, training_arguments
from holdfast.bench.run.folder import folder_of
from holdfast.bench.run.weight_edits import trunk_of
from holdfast.core.method import Chain, Method, chain
from holdfast.core.sums import clash
from holdfast.methods.adapter import Adapter
from holdfast.methods.schedules.train import Train
from holdfast.recipe import parse
from holdfast.suites.default import default_note
from holdfast.train.settings import train_of, with_train, without_train


@dataclasses.dataclass(frozen=True)
class PlannedRun:
    """One run of a comparison.

    Attributes:
        recipe: The recipe, without its learning rate.
        dose: Multiplier of its learning rate.
        spec: Options of the run.
        trunk: Options of the run whose model this run edits; None if it trains.
    """

    recipe: Chain
    dose: float
    spec: RunSpec
    trunk: RunSpec | None = None


@dataclasses.dataclass(frozen=True)
class Plan:
    """The runs of a comparison, each after the run that it edits, and notes for the user."""

    runs: tuple[PlannedRun, ...]
    notes: tuple[str, ...]


def plan(spec: CompareSpec) -> Plan:
    """Returns the runs of a comparison, each checked as far as possible without a model.

    Raises:
        HoldfastError: A recipe or set is unknown, two methods exclude each other, or a run refuses its settings.
    """
    names = spec.memories()
    asked, notes = recipes_of(spec.recipes, next(iter(names), None))
    settings = parse(spec.settings)
    recipes = [chain(), *asked]
    whole = list(dict.fromkeys(with_settings(recipe, settings, spec.adapter_rate) for recipe in recipes))
    runs: dict[str, PlannedRun] = {}
    for seed in spec.seeds:
        for recipe in whole:
            for dose in spec.doses:
                for planned in _with_trunk(spec, recipe, dose, seed):
                    runs.setdefault(folder_of(planned.spec).name, planned)
    for planned in runs.values():
        training_arguments(planned.spec, parse(planned.spec.recipe), folder_of(planned.spec))
    default = default_note(spec.model, spec.keep)
    return Plan(tuple(runs.values()), (*notes, *([default] if default else [])))


def with_settings(recipe: Chain, settings: Chain, adapter_rate: float) -> Chain:
    """Returns a recipe with the settings that it does not set itself, including the learning rate.

    A method of the settings is dropped if the recipe has one of the same class, or one that excludes it. A recipe with
    an adapter and no rate gets the rate of the settings times `adapter_rate`, unless the settings have an adapter too.
    """
    train = _rated(recipe, settings, adapter_rate)
    rest = without_train(recipe)
    beside = [method for method in without_train(settings) if not _gives_way(method, rest)]
    return chain(train, *beside, *rest)


def _rated(recipe: Chain, settings: Chain, adapter_rate: float) -> Train:
    """Returns the `Train` of the settings, with the rate for a recipe and the recipe's own values."""
    small, has = (any(isinstance(m, Adapter) and m.small for m in terms.methods) for terms in (recipe, settings))
    given, named = train_of(settings), train_of(recipe)
    times = adapter_rate if small and not has else 1.0
    rate = rate_of(recipe if small else settings) if given.lr is None else given.lr * times
    changed = {f.name: value for f in dataclasses.fields(named) if (value := getattr(named, f.name)) != f.default}
    return dataclasses.replace(given, **{"lr": round_rate(rate), **changed})


def _gives_way(method: Method, others: Sequence[Method]) -> bool:
    """Returns whether a recipe has a method of the same class, or one that excludes it."""
    return any(type(method) is type(other) or clash(type(method), type(other)) for other in others)


def with_dose(recipe: Chain, dose: float) -> Chain:
    """Returns a recipe with its learning rate multiplied by `dose`."""
    return with_train(recipe, lr=round_rate((train_of(recipe).lr or 0.0) * dose))


def round_rate(rate: float) -> float:
    """Rounds a rate to six digits, so that products print without rounding errors."""
    return float(f"{rate:.6g}")


def _with_trunk(spec: CompareSpec, recipe: Chain, dose: float, seed: int) -> Iterator[PlannedRun]:
    """Yields a run, after the run whose model it edits, if any."""
    dosed = with_dose(recipe, dose)
    bare = trunk_of(dosed)
    trunk = None if bare is None else run_spec(spec, bare, seed)
    if trunk is not None and bare is not None:
        yield PlannedRun(bare, dose, trunk)
    yield PlannedRun(recipe, dose, run_spec(spec, dosed, seed), trunk)


def run_spec(spec: CompareSpec, recipe: Chain, seed: int) -> RunSpec:
    """Returns the options of one run of a comparison; its name follows from its settings, and it resumes."""
    shared: dict[str, Any] = {
        f.name: getattr(spec, f.name) for f in dataclasses.fields(TrainingSpec) if f.name != "budget"
    }
    return RunSpec(**shared, recipe=repr(recipe), seed=seed, resume=True)
