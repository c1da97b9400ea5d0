"""What `ground:NAME` stands for: the tasks, suites and documents of the proving ground, wherever rows are read."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

from holdfast.core.errors import HoldfastError, nearest
from holdfast.data.rows import Row
from holdfast.ground.corpus import LESSONS, PROOF, WATCH, documents, lessons
from holdfast.ground.tasks import SPLITS, TASKS, row_of, task
from holdfast.ground.world import World, rng_of

GENERAL = "general"
DOCUMENTS = {"train": 2000, "memory": 2000, "test": 1000}
"""Documents of each split of `general`: what the base was taught, drawn anew."""
BASE = "ground:base"
"""The name of the base that comes with the package."""


def base_folder() -> Path:
    """Returns the folder of the base that comes with the package: the world of seed 0."""
    return Path(__file__).parent / "base"


def rows(name: str) -> Sequence[Row]:
    """Returns the rows of `NAME`, `NAME/SPLIT`, or either with `@SEED` behind it for another world than that of seed 0.

    Names are those of the tasks (splits train, validation, test, transfer), of the suites (watch, proof), and
    `general`: documents like those that the base was taught (train, memory, test; no two share a document).

    Raises:
        HoldfastError: If there is nothing of that name or split.
    """
    plain, at, seed = name.partition("@")
    what, slash, split = plain.partition("/")
    if at and not seed.isdigit():
        raise HoldfastError(f"'ground:{name}': the seed behind '@' must be a whole number.")
    suites = [lesson.suite for lesson in LESSONS]
    known = [GENERAL, *TASKS, *suites]
    if what not in known or (slash and not split):
        raise HoldfastError(
            f"'ground:{name}': there is nothing of that name; use one of {', '.join(known)}.{nearest(what, known)}"
        )
    splits = list(DOCUMENTS) if what == GENERAL else list(SPLITS) if what in TASKS else ["watch", "proof"]
    if slash and split not in splits:
        raise HoldfastError(f"'ground:{name}': has no split '{split}'; use one of {', '.join(splits)}.")
    return _rows(int(seed) if at else 0, what, split or splits[0])


@functools.lru_cache(maxsize=16)
def _rows(seed: int, what: str, split: str) -> tuple[Row, ...]:
    world = World(seed)
    if what == GENERAL:
        found = _documents(world)[split]
    elif what in TASKS:
        given = task(world, what)
        found = list(given.train) if split == "train" else [row_of(item) for item in getattr(given, split)]
    else:
        chosen = next(lesson for lesson in LESSONS if lesson.suite == what)(world)
        found = [row_of(item) for item in chosen.items(WATCH, PROOF) if item.split == split]
    origin = f"ground:{what}/{split}" + (f"@{seed}" if seed else "")
    return tuple(dataclasses.replace(row, origin=f"{origin}:{i}") for i, row in enumerate(found, 1))


def _documents(world: World) -> dict[str, list[Row]]:
    """Returns the splits of `general`, which share no document with each other."""
    stream = documents(lessons(world), rng_of(world.seed, GENERAL))
    seen: set[Row] = set()
    found: dict[str, list[Row]] = {}
    for split, count in DOCUMENTS.items():
        found[split] = []
        while len(found[split]) < count:
            _, row = next(stream)
            if row not in seen:
                seen.add(row)
                found[split].append(row)
    return found
