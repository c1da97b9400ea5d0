"""The invented world of one seed: its people and things, and the facts about them. No text is copied."""

from __future__ import annotations

import dataclasses
import hashlib
import random
from collections.abc import Sequence
from typing import Any

from holdfast.ground import words
from holdfast.ground.relations import RELATIONS
from holdfast.ground.wording import Relation

KNOWN, NEWCOMERS, PASSERS = 160, 200, 400
"""Numbers of people whom a base knows, of people in tasks only, and of strangers' names in stories and chats."""


@dataclasses.dataclass(frozen=True)
class Thing:
    """A person or thing with its facts, by relation."""

    kind: str
    name: str
    facts: dict[str, str]

    def relations(self) -> tuple[Relation, ...]:
        """Returns the relations of things of this kind."""
        return RELATIONS[self.kind]

    def say(self, relation: str, wording: int = 0) -> str:
        """Returns the statement of one fact."""
        named = next(known for known in self.relations() if known.name == relation)
        return named.say(self.name, self.facts[relation], wording)


def rng_of(seed: int, purpose: str) -> random.Random:
    """Returns the random number generator for a purpose in the world of a seed."""
    return random.Random(f"holdfast ground {seed} {purpose}")


def held(key: str, share: float) -> bool:
    """Returns whether a case is held out of pretraining, by the hash of its key; the same in every world."""
    digest = hashlib.blake2b(f"held {key}".encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48 < share


class World:
    """All people and things of one seed.

    Attributes:
        seed: The seed.
        people: The people whom a base knows.
        newcomers: People whom no base knows; their mothers and friends are newcomers too.
        strangers: Names in stories and chats, of people without facts.
        things: Everything that a base knows, by kind.
    """

    def __init__(self, seed: int = 0) -> None:
        """Draws the world; the same seed gives the same world."""
        self.seed = seed
        rng = rng_of(seed, "world")
        towns = [a + b for a in words.TOWN_STARTS for b in words.TOWN_ENDS]
        rng.shuffle(towns)
        names = sorted({(a + b + c).capitalize() for a in words.NAME_STARTS for b in words.NAME_MIDDLES
                        for c in words.NAME_ENDS})  # fmt: skip
        rng.shuffle(names)
        self.towns = tuple(sorted(towns[:24]))
        ends = [KNOWN, KNOWN + NEWCOMERS, KNOWN + NEWCOMERS + PASSERS]
        self.people = self._people(rng, names[: ends[0]])
        self.newcomers = self._people(rng, names[ends[0] : ends[1]])
        self.strangers = tuple(names[ends[1] : ends[2]])
        self.things: dict[str, tuple[Thing, ...]] = {"person": self.people, **self._surroundings(rng)}

    @property
    def known(self) -> tuple[Thing, ...]:
        """Returns everything that a base knows, people first."""
        return tuple(thing for kind in self.things.values() for thing in kind)

    def values(self, kind: str, relation: str) -> tuple[str, ...]:
        """Returns all values of a relation among the known things of a kind."""
        return tuple(sorted({thing.facts[relation] for thing in self.things[kind]}))

    def thing(self, kind: str, name: str) -> Thing:
        """Returns the known thing of this kind and name."""
        return next(thing for thing in self.things[kind] if thing.name == name)

    def _people(self, rng: random.Random, names: Sequence[str]) -> tuple[Thing, ...]:
        people = []
        for name in names:
            others = [other for other in names if other != name]
            people.append(
                Thing(
                    "person",
                    name,
                    {
                        "home": rng.choice(self.towns),
                        "job": rng.choice(words.JOBS),
                        "food": rng.choice(words.FOODS),
                        "pet": rng.choice(words.ANIMALS),
                        "born": str(rng.randrange(1900, 1960)),
                        "plays": rng.choice(words.INSTRUMENTS),
                        "friend": rng.choice(others),
                        "mother": rng.choice(others),
                    },
                )
            )
        return tuple(people)

    def _surroundings(self, rng: random.Random) -> dict[str, tuple[Thing, ...]]:
        events = [f"the {mood} {kind}" for mood in words.EVENT_MOODS for kind in words.EVENT_KINDS]
        products = rng.sample(words.PRODUCTS, len(words.PRODUCTS))

        def things(kind: str, names: Sequence[str], *facts: Any) -> tuple[Thing, ...]:
            relations = [relation.name for relation in RELATIONS[kind]]
            return tuple(
                Thing(kind, name, {key: fact(i) for key, fact in zip(relations, facts, strict=True)})
                for i, name in enumerate(names)
            )

        def of(values: Sequence[str]) -> Any:
            return lambda i: rng.choice(values)

        tools, places = rng.sample(words.TOOLS, len(words.TOOLS)), rng.sample(words.WORKPLACES, len(words.WORKPLACES))
        return {
            "town": things(
                "town", self.towns, of(words.REGIONS), of(words.RIVERS), lambda i: products[i],
                lambda i: str(rng.randrange(1100, 1800)),
            ),
            "event": things("event", rng.sample(events, 40), lambda i: str(rng.randrange(1800, 1900)), of(self.towns)),
            "ware": things("ware", words.WARES, lambda i: str(rng.randrange(2, 100)), of(words.SHELVES)),
            "job": things("job", words.JOBS, lambda i: tools[i], lambda i: places[i]),
            "animal": things("animal", words.ANIMALS, of(words.FEEDS), of(words.BEDS)),
            "food": things("food", words.FOODS, of(words.TASTES), of(words.SEASONS)),
        }  # fmt: skip
