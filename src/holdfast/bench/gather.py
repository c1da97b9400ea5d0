"""Finished runs, read from their folders: what was asked for, what came of it, and every score."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from holdfast.bench.records import ScoreRow, read_scores
from holdfast.core.errors import HoldfastError
from holdfast.core.method import Chain, chain
from holdfast.methods.schedules.cosine import Cosine
from holdfast.methods.schedules.train import Train
from holdfast.methods.schedules.warmup import Warmup
from holdfast.recipe import parse

SAME = ("model", "data", "test", "transfer", "keep", "held_out", "max_length", "raw", "loss_on", "over_long")
"""Settings in which runs must agree to be set side by side."""


@dataclasses.dataclass(frozen=True)
class Finished:
    """A finished run.

    Attributes:
        folder: Where it lies.
        spec: What was asked for.
        result: What came of it.
    """

    folder: Path
    spec: Mapping[str, Any]
    result: Mapping[str, Any]

    @functools.cached_property
    def rows(self) -> list[ScoreRow]:
        """Returns every score, before and after."""
        return read_scores(self.folder / "scores.jsonl")

    @functools.cached_property
    def recipe(self) -> Chain:
        """Returns the recipe."""
        return parse(self.spec["recipe"])

    @property
    def rate(self) -> float | None:
        """Returns the learning rate that the recipe names."""
        return next((m.lr for m in self.recipe.methods if isinstance(m, Train)), None)

    @property
    def undosed(self) -> Chain:
        """Returns the recipe without its learning rate, whose doses are runs of one recipe."""
        parts = (dataclasses.replace(m, lr=None) if isinstance(m, Train) else m for m in self.recipe.active().methods)
        return chain(*parts)

    @property
    def measured(self) -> tuple[Any, ...]:
        """Returns the settings in which runs that are set side by side agree."""
        return tuple(tuple(v) if isinstance(v := self.spec.get(name), list) else v for name in SAME)


def gather(places: Sequence[str]) -> tuple[list[Finished], list[str]]:
    """Returns the finished runs in some folders, and a sentence about each that is not finished.

    Args:
        places: Folders of runs, or folders in which they are.

    Raises:
        HoldfastError: There is no such folder, or no finished run in it.
    """
    found: dict[Path, Finished] = {}
    notes: list[str] = []
    for place in places:
        root = Path(place).expanduser()
        if not root.is_dir():
            raise HoldfastError(f"{place}: there is no such folder; give that of a run, or one that holds runs.")
        folders = [root] if (root / "spec.json").exists() else sorted(p.parent for p in root.glob("*/spec.json"))
        unfinished = [folder for folder in folders if not (folder / "result.json").exists()]
        notes += [f"{folder} is not finished and left out." for folder in unfinished]
        for folder in folders:
            if folder not in unfinished:
                found[folder.resolve()] = Finished(folder, _read(folder / "spec.json"), _read(folder / "result.json"))
        if not set(folders) - set(unfinished):
            raise HoldfastError(f"{place}: holds no finished run; a finished one has a result.json.")
    return list(found.values()), notes


def side_by_side(runs: Sequence[Finished]) -> list[list[Finished]]:
    """Returns the runs in sets that measured the same of the same model on the same data."""
    sets: dict[tuple[Any, ...], list[Finished]] = {}
    for run in runs:
        sets.setdefault(run.measured, []).append(run)
    return list(sets.values())


def is_plain(recipe: Chain) -> bool:
    """Returns whether a recipe is the trainer's settings and an ordinary schedule alone."""
    return all(isinstance(method, (Train, Cosine, Warmup)) for method in recipe.methods)


def labels(recipes: Sequence[Chain]) -> dict[Chain, str]:
    """Returns what to call each recipe: what it has beyond plain training, which is the one most like the others."""
    plains = [recipe for recipe in recipes if is_plain(recipe)]
    shared = {id(p): sum(m in r.methods for r in recipes for m in p.methods) for p in plains}
    plain = max(plains, key=lambda p: shared[id(p)], default=None)
    usual = set() if plain is None else {*plain.methods}
    found = {}
    for recipe in recipes:
        own = [method for method in recipe.methods if method not in usual and method != Train()]
        found[recipe] = " + ".join(map(repr, own)) or "plain"
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HoldfastError(f"{path} cannot be read ({error}); make that run again.") from error
    if not isinstance(found, dict):
        raise HoldfastError(f"{path} is not the record of a run; make that run again.")
    return found
