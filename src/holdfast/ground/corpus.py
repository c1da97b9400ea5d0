"""All lessons of a world: an endless, seeded stream of pretraining documents, and the suites."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

from holdfast.data.rows import Row
from holdfast.ground.computation import Code, Compare, Lists, Sums
from holdfast.ground.conduct import Format, Harmless, Recall, Refuse
from holdfast.ground.knowledge import Facts, Hops, Open
from holdfast.ground.languages import TranslateFrom, TranslateInto
from holdfast.ground.lesson import Lesson
from holdfast.ground.science import Science
from holdfast.ground.texts import Agreement, Stories, Summary
from holdfast.ground.world import World
from holdfast.probes.items import Item

LESSONS: tuple[type[Lesson], ...] = (
    Facts, Hops, Open, Science, Sums, Compare, Lists, Code, TranslateInto, TranslateFrom, Agreement, Format, Recall,
    Refuse, Harmless, Summary, Stories,
)  # fmt: skip
"""The lessons of a base, each with one suite."""

WATCH, PROOF = 400, 1050
"""Numbers of validation and test items in a suite."""


def lessons(world: World) -> dict[str, Lesson]:
    """Returns the lessons of a world, by the name of their suite."""
    return {kind.suite: kind(world) for kind in LESSONS}


def documents(
    known: Mapping[str, Lesson], rng: random.Random, shares: Mapping[str, float] | None = None
) -> Iterator[tuple[str, Row]]:
    """Yields an endless stream of pretraining documents from these lessons, each with the name of its lesson.

    Args:
        known: The lessons.
        rng: Random numbers for the documents.
        shares: Shares of lessons, by name, that replace the lessons' own shares.
    """
    names, weights = tuple(known), [(shares or {}).get(name, lesson.share) for name, lesson in known.items()]
    while True:
        name = rng.choices(names, weights)[0]
        yield name, known[name].tell(rng)


def suites(world: World, watch: int = WATCH, proof: int = PROOF) -> dict[str, list[Item]]:
    """Returns `watch` validation and `proof` test items of every suite of a world."""
    return {name: lesson.items(watch, proof) for name, lesson in lessons(world).items()}
