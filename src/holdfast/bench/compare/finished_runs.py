"""Finished runs, read from their folders: options, records and scores."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.bench.measured.scores import Moment, read_scores
from holdfast.bench.run.arguments import rate_of
from holdfast.bench.run.folder import folder_of_runs
from holdfast.bench.run.record import RunRecord
from holdfast.core.errors import HoldfastError
from holdfast.core.guard import AUTO
from holdfast.core.method import Chain, chain
from holdfast.methods.holdfast import short
from holdfast.methods.schedules.cosine import Cosine
from holdfast.methods.schedules.warmup import Warmup
from holdfast.probes.score import Score
from holdfast.recipe import parse
from holdfast.train.settings import DEFAULTS, with_train, without_train

FREE = ("recipe", "resolved_recipe", "resolved", "seed", "memory_check", "inputs")
"""Settings that comparable runs need not share; `comparable_runs` compares the digests of their inputs."""


@dataclasses.dataclass(frozen=True)
class FinishedRun:
    """A finished run.

    Attributes:
        folder: Its folder.
        spec: The content of spec.json.
        record: Its record.
    """

    folder: Path
    spec: Mapping[str, Any]
    record: RunRecord

    @functools.cached_property
    def scores(self) -> dict[Moment, list[Score]]:
        """Returns every score, by moment."""
        return read_scores(self.folder / "scores.jsonl")

    @property
    def before(self) -> list[Score]:
        """Returns the scores of the base."""
        return self.scores["before"]

    @functools.cached_property
    def after(self) -> dict[str, dict[str, Score]]:
        """Returns the scores after training, by suite and item."""
        by_suite: dict[str, dict[str, Score]] = {}
        for score in self.scores["after"]:
            by_suite.setdefault(score.suite, {})[score.item] = score
        return by_suite

    @functools.cached_property
    def recipe(self) -> Chain:
        """Returns the recipe."""
        return parse(self.spec["resolved_recipe" if self.spec["recipe"] == AUTO else "recipe"])

    @property
    def rate(self) -> float:
        """Returns the learning rate of the training."""
        return float(self.spec.get("training", {}).get("learning_rate", rate_of(self.recipe)))

    @property
    def recipe_without_rate(self) -> Chain:
        """Returns the recipe without its learning rate, which is equal for all doses of a recipe."""
        parts = with_train(self.recipe.active(), lr=None).methods
        return chain(*(method for method in parts if method != DEFAULTS))

    @property
    def settings(self) -> str:
        """Returns the settings that comparable runs share, as text."""
        shared = {name: value for name, value in self.spec.items() if name not in FREE}
        training = {name: value for name, value in shared.get("training", {}).items() if name != "learning_rate"}
        return json.dumps({**shared, "training": training}, sort_keys=True)


def read_finished_runs(places: Sequence[str]) -> tuple[list[FinishedRun], list[str]]:
    """Reads the finished runs in some folders, and returns a note on each unfinished one.

    Args:
        places: Folders of runs, or folders that hold them.

    Raises:
        HoldfastError: A folder does not exist, or holds no finished run.
    """
    runs: dict[Path, FinishedRun] = {}
    notes: list[str] = []
    for place in places:
        root = folder_of_runs(place)
        folders = [root] if (root / "spec.json").exists() else sorted(p.parent for p in root.glob("*/spec.json"))
        unfinished = [folder for folder in folders if not (folder / "result.json").exists()]
        notes += [f"{folder} is unfinished and left out." for folder in unfinished]
        for folder in folders:
            if folder not in unfinished:
                spec = _read(folder / "spec.json")
                if missing := [name for name in ("model", "data", "recipe", "seed") if name not in spec]:
                    raise HoldfastError(
                        f"{folder} is not the folder of a run (its spec.json lacks {', '.join(missing)}); leave it out."
                    )
                runs[folder.resolve()] = FinishedRun(folder, spec, RunRecord.read(folder))
        if not set(folders) - set(unfinished):
            raise HoldfastError(f"{place}: holds no finished run; a finished one has a result.json.")
    return list(runs.values()), notes


def comparable_runs(runs: Sequence[FinishedRun]) -> list[list[FinishedRun]]:
    """Returns the runs in groups whose members differ only in recipe and seed, and read the same content.

    A model, a folder or a file that only some of the runs read does not part them.
    """
    groups: list[tuple[str, dict[str, str], list[FinishedRun]]] = []
    for run in runs:
        inputs = dict(run.spec.get("inputs", {}))  # older runs have none
        for settings, known, members in groups:
            if settings == run.settings and all(known.get(name, digest) == digest for name, digest in inputs.items()):
                known.update(inputs)
                members.append(run)
                break
        else:
            groups.append((run.settings, inputs, [run]))
    return [members for _, _, members in groups]


def plain_of(recipes: Sequence[Chain]) -> Chain | None:
    """Returns the recipe of plain training; None if there is none.

    This is the recipe with only `Train` and a schedule; failing that, one that is contained in more than half of the
    others. Ties go to the one contained in most.
    """

    def inside(recipe: Chain) -> int:
        return sum(other != recipe and {*recipe.methods} <= {*other.methods} for other in recipes)

    def ordinary(recipe: Chain) -> bool:
        return all(isinstance(method, (Cosine, Warmup)) for method in without_train(recipe))

    candidates = [recipe for recipe in recipes if ordinary(recipe) or inside(recipe) > (len(recipes) - 1) / 2]
    return max(candidates, key=lambda recipe: (ordinary(recipe), inside(recipe)), default=None)


def labels(recipes: Sequence[Chain]) -> dict[Chain, str]:
    """Returns a label for each recipe: its methods beyond plain training, or all of them if two labels are equal.

    The parts of `Holdfast` appear under that name.
    """
    plain = plain_of(recipes)
    usual = set() if plain is None else {*plain.methods}
    names = {}
    for recipe in recipes:
        methods = [method for method in recipe.methods if method not in usual]
        names[recipe] = "plain" if recipe == plain else " + ".join(map(repr, short(methods))) or repr(recipe)
    alike = {label for label in names.values() if list(names.values()).count(label) > 1}
    return {recipe: repr(recipe) if label in alike else label for recipe, label in names.items()}


def _read(path: Path) -> dict[str, Any]:
    try:
        contents = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HoldfastError(f"{path} cannot be read ({error}); make that run again.") from error
    if not isinstance(contents, dict):
        raise HoldfastError(f"{path} is not the record of a run; make that run again.")
    return contents
