"""Resolves `ground:NAME`: the tasks, suites and documents of the proving ground, for all readers of rows."""

from __future__ import annotations

import collections
import dataclasses
import functools
import itertools
import re
from collections.abc import Sequence
from pathlib import Path

from holdfast.core.errors import HoldfastError, nearest
from holdfast.data.rows import Row
from holdfast.ground.corpus import LESSONS, PROOF, WATCH, documents, lessons
from holdfast.ground.tasks import SPLITS, TASKS, Task, task
from holdfast.ground.world import World, rng_of
from holdfast.probes.items import Item, row_of

GENERAL, INSTRUCTIONS = "general", "instructions"
DOCUMENTS = {"train": 2000, "memory": 2000, "test": 1000}
"""Numbers of documents in each split of `general`, new draws of documents like those of the base's pretraining, and of
`instructions`, the conversations among them."""
ANCHOR = 1000
"""Number of documents in the split `memory` of a suite: new draws of the pretraining documents of its lesson."""
ALL = "suites"
SUITES = (ALL, *(lesson.suite for lesson in LESSONS))
CUT, CUT_PROOF, TASK_CUT = 30, 90, 240
"""Numbers of items in the split `cut`: the first validation items and the first test items of each suite, and evenly
spaced items of each task's test. They are enough for a quick look."""
FEW = 40
"""Number of people in the splits `few` and `few-test` of `people`: a third of the work, for a demonstration."""
SAMPLE = 200
"""Number of items in the split `sample` of each suite, its first test items: enough to prove a budget of two points in
the mean of the suites if little is lost."""
ROWS_OF_TASKS = ("train", "few")
_CUT = {"cut": {"watch": CUT, "proof": CUT_PROOF}, "sample": {"proof": SAMPLE}}
BASE = "ground:base"
"""The name of the base that comes with the package."""


def base_folder() -> Path:
    """Returns the folder of the base that comes with the package: the world of seed 0."""
    return Path(__file__).parent / "base"


RERANKER = "ground:reranker"
"""The name of the reranker that comes with the package."""


def reranker_folder() -> Path:
    """Returns the folder of the reranker that comes with the package."""
    return Path(__file__).parent / "reranker"


def rows(name: str) -> Sequence[Row]:
    """Returns the rows of `NAME` or `NAME/SPLIT`; a suffix `@SEED` selects another world than that of seed 0.

    A name is a task (splits train, validation, test, transfer, cut; for people also few, few-test), a suite, or
    `suites` for all suites (watch, proof, cut, sample; for a single suite also memory). `general` has documents like
    those of the base's pretraining (train, memory, test, which share no document), and `instructions` the conversations
    among them. `SUITE/memory` has documents like the pretraining documents of that suite's lesson. All other rows are
    questions with their right answers.

    Raises:
        HoldfastError: There is no such name or split.
    """
    what, split, seed = _parsed(name)
    if _is_taught(what, split):
        selected = _documents(seed, what)[split]
    elif what in TASKS and split in ROWS_OF_TASKS:
        selected = list(_few(seed)[0] if split == "few" else _task(seed, what).train)
    else:
        selected = [row_of(item) for item in _items(seed, what, split)]
    return [dataclasses.replace(row, origin=f"ground:{name}:{i}") for i, row in enumerate(selected, 1)]


def items(name: str) -> Sequence[Item] | None:
    """Returns the items of a suite or of a split of a task, by the names of `rows`; None for names with rows only.

    Raises:
        HoldfastError: There is no such name or split.
    """
    what, split, seed = _parsed(name)
    if _is_taught(what, split) or (what in TASKS and split in ROWS_OF_TASKS):
        return None
    return _items(seed, what, split)


def _parsed(name: str) -> tuple[str, str, int]:
    """Returns the name, the split and the seed."""
    plain, at, seed = name.partition("@")
    what, slash, split = plain.partition("/")
    if at and not seed.isdecimal():
        raise HoldfastError(f"'ground:{name}': the seed behind '@' must be a whole number.")
    known = [GENERAL, INSTRUCTIONS, *TASKS, *SUITES]
    if what not in known:
        raise HoldfastError(
            f"'ground:{name}': there is nothing of that name; use one of {', '.join(known)}.{nearest(what, known)}"
        )
    splits = ["watch", "proof", *_CUT, *([] if what == ALL else ["memory"])]
    if what in TASKS:
        splits = [*SPLITS, "cut", *(["few", "few-test"] if what == "people" else [])]
    elif what in (GENERAL, INSTRUCTIONS):
        splits = list(DOCUMENTS)
    if slash and split not in splits:
        raise HoldfastError(
            f"'ground:{name}': has no split '{split}'; use one of {', '.join(splits)}.{nearest(split, splits)}"
        )
    return what, split or splits[0], int(seed) if at else 0


def _items(seed: int, what: str, split: str) -> list[Item]:
    if what in TASKS:
        return _items_of_task(seed, what, split)
    chosen = [lesson for lesson in LESSONS if what in (ALL, lesson.suite)]
    candidates = [item for lesson in chosen for item in _suite(seed, lesson.suite)]
    if split in ("proof", "watch"):
        return [item for item in candidates if item.split == split]
    left = collections.Counter({(item.suite, side): most for item in candidates for side, most in _CUT[split].items()})
    cut = []
    for item in candidates:
        side = (item.suite, item.split)
        left[side] -= 1
        cut += [item] if left[side] >= 0 else []
    return cut


def _items_of_task(seed: int, what: str, split: str) -> list[Item]:
    if split == "few-test":
        return _few(seed)[1]
    made = _task(seed, what)
    return list(made.test[:: max(1, len(made.test) // TASK_CUT)] if split == "cut" else getattr(made, split))


@functools.lru_cache(maxsize=64)
def _suite(seed: int, name: str) -> tuple[Item, ...]:
    lesson = next(lesson for lesson in LESSONS if lesson.suite == name)
    return tuple(lesson(World(seed)).items(WATCH, PROOF))


@functools.lru_cache(maxsize=16)
def _task(seed: int, name: str) -> Task:
    return task(World(seed), name)


def _few(seed: int) -> tuple[list[Row], list[Item]]:
    """Returns the rows of `people` about its first few people, and the test items about them."""
    made = _task(seed, "people")
    who = set(list(dict.fromkeys(item.group for item in made.test))[:FEW])
    rows_about_them = [row for row in made.train if who & {*re.findall(r"\w+", row.prompt or "")}]
    return rows_about_them, [item for item in made.test if item.group in who]


def _is_taught(what: str, split: str) -> bool:
    """Returns whether a split has documents like those of the base's pretraining."""
    return what in (GENERAL, INSTRUCTIONS) or split == "memory"


@functools.lru_cache(maxsize=8)
def _documents(seed: int, what: str) -> dict[str, list[Row]]:
    """Returns the splits of `general`, `instructions` or a suite's lesson, which share no document."""
    known, rng = lessons(World(seed)), rng_of(seed, what if what == GENERAL else f"{what} memory")
    lesson = known.get(what)
    stream = documents(known, rng) if lesson is None else ((what, lesson.tell(rng)) for _ in itertools.count())
    seen: set[Row] = set()
    splits: dict[str, list[Row]] = {}
    for split, count in DOCUMENTS.items() if what not in known else [("memory", ANCHOR)]:
        splits[split] = []
        for _ in range(100 * count):  # some lessons have fewer documents
            _, row = next(stream)
            if row not in seen and (what != INSTRUCTIONS or row.kind == "messages"):
                seen.add(row)
                splits[split].append(row)
            if len(splits[split]) == count:
                break
    return splits
