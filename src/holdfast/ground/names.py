"""What `ground:NAME` stands for: the tasks, suites and documents of the proving ground, wherever rows are read."""

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
"""Documents of each split of `general`: what the base was taught, drawn anew; and of `instructions`: the conversations
among it."""
ANCHOR = 1000
"""Documents in the split `memory` of a suite: what the base was taught of that one thing, drawn anew."""
ALL = "suites"
SUITES = (ALL, *(lesson.suite for lesson in LESSONS))
CUT, CUT_PROOF, TASK_CUT = 30, 90, 240
"""Items in the split `cut` of each suite, the first of those that are watched and the first of the others, and of each
task, taken evenly from its test: enough for a look."""
FEW = 40
"""People of whom the splits `few` and `few-test` of `people` tell and ask: a third of the work, for a demonstration."""
SAMPLE = 200
"""Items in the split `sample` of each suite, the first of those that are not watched: enough to prove two points in the
mean of the suites where little is lost."""
ROWS_OF_TASKS = ("train", "few")
_CUT = {"cut": {"watch": CUT, "proof": CUT_PROOF}, "sample": {"proof": SAMPLE}}
BASE = "ground:base"
"""The name of the base that comes with the package."""


def base_folder() -> Path:
    """Returns the folder of the base that comes with the package: the world of seed 0."""
    return Path(__file__).parent / "base"


def rows(name: str) -> Sequence[Row]:
    """Returns the rows of `NAME`, `NAME/SPLIT`, or either with `@SEED` behind it for another world than that of seed 0.

    Names are those of the tasks (splits train, validation, test, transfer, cut; of people also few, few-test), of the
    suites or `suites` for all of them (watch, proof, cut, sample; for one, also memory), `general`: documents like
    those that the base was taught (train, memory, test; no two share a document), and `instructions`: the conversations
    among such. `SUITE/memory` is what the base was taught of that one thing. What is no document is a question with its
    right answer.

    Raises:
        HoldfastError: If there is nothing of that name or split.
    """
    what, split, seed = _parsed(name)
    if _is_taught(what, split):
        found = _documents(seed, what)[split]
    elif what in TASKS and split in ROWS_OF_TASKS:
        found = list(_few(seed)[0] if split == "few" else _task(seed, what).train)
    else:
        found = [row_of(item) for item in _items(seed, what, split)]
    return [dataclasses.replace(row, origin=f"ground:{name}:{i}") for i, row in enumerate(found, 1)]


def items(name: str) -> Sequence[Item] | None:
    """Returns the items of a suite or of a split of a task, under the names of `rows`; None for what has rows only.

    Raises:
        HoldfastError: If there is nothing of that name or split.
    """
    what, split, seed = _parsed(name)
    if _is_taught(what, split) or (what in TASKS and split in ROWS_OF_TASKS):
        return None
    return _items(seed, what, split)


def _parsed(name: str) -> tuple[str, str, int]:
    """Returns name, split and seed."""
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
    found = [item for lesson in chosen for item in _suite(seed, lesson.suite)]
    if split in ("proof", "watch"):
        return [item for item in found if item.split == split]
    left = collections.Counter({(item.suite, side): most for item in found for side, most in _CUT[split].items()})
    cut = []
    for item in found:
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
    """Returns the rows of `people` that tell of its first few people, and what its test asks of them."""
    made = _task(seed, "people")
    who = set(list(dict.fromkeys(item.group for item in made.test))[:FEW])
    told = [row for row in made.train if who & {*re.findall(r"\w+", row.prompt or "")}]
    return told, [item for item in made.test if item.group in who]


def _is_taught(what: str, split: str) -> bool:
    """Whether what is asked for are documents like those that the base was taught."""
    return what in (GENERAL, INSTRUCTIONS) or split == "memory"


@functools.lru_cache(maxsize=8)
def _documents(seed: int, what: str) -> dict[str, list[Row]]:
    """Returns the splits of documents of `general`, `instructions` or a suite, which share no document."""
    known, rng = lessons(World(seed)), rng_of(seed, what if what == GENERAL else f"{what} memory")
    one = known.get(what)
    stream = documents(known, rng) if one is None else ((what, one.tell(rng)) for _ in itertools.count())
    seen: set[Row] = set()
    found: dict[str, list[Row]] = {}
    for split, count in DOCUMENTS.items() if what not in known else [("memory", ANCHOR)]:
        found[split] = []
        for _ in range(100 * count):  # some lessons have fewer documents than that
            _, row = next(stream)
            if row not in seen and (what != INSTRUCTIONS or row.kind == "messages"):
                seen.add(row)
                found[split].append(row)
            if len(found[split]) == count:
                break
    return found
