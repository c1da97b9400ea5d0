"""Lessons about the things of the world: single facts, chains of two facts, and longer answers."""

from __future__ import annotations

import random

from holdfast.data.rows import Row
from holdfast.ground.lesson import Lesson, Question, capital, talk
from holdfast.ground.relations import ABOUT, ABOUT_HELD
from holdfast.ground.wording import Relation, lines
from holdfast.ground.world import Thing, held


def other_values(rng: random.Random, values: tuple[str, ...], right: str, count: int = 3) -> list[str]:
    """Returns `count` different wrong values, or all if there are fewer."""
    others = [value for value in values if value != right]
    return rng.sample(others, min(count, len(others)))


class Facts(Lesson):
    """Single facts about people, towns, events, wares, jobs, animals and food."""

    suite = "facts"
    shows = "facts, asked in wordings never read"
    share = 18.0

    def _draw(self, rng: random.Random) -> Thing:
        kind = rng.choices(tuple(self.world.things), (70, 9, 6, 5, 4, 3, 3))[0]
        return rng.choice(self.world.things[kind])

    def tell(self, rng: random.Random) -> Row:
        """Returns a note with all facts about a thing, or one to three questions with their answers."""
        thing = self._draw(rng)
        relations = rng.sample(thing.relations(), len(thing.relations()))
        if rng.random() < 0.4:
            return Row(text=" ".join(_statement(rng, thing, relation, None) for relation in relations))
        sentences = []
        for relation in relations[: rng.choice((1, 1, 2, 3))]:
            sentences += [rng.choice(relation.asks).format(s=thing.name), _statement(rng, thing, relation, 0)]
        return talk(*sentences)

    def ask(self, rng: random.Random) -> Question:
        """Returns a question about one fact, in a held-out wording."""
        thing = self._draw(rng)
        relation = rng.choice(thing.relations())
        right = thing.facts[relation.name]
        values = (right, *other_values(rng, self.world.values(thing.kind, relation.name), right))
        return Question(
            group=thing.name,
            prompt=rng.choice(relation.held).format(s=thing.name),
            answer=relation.say(thing.name, right),
            check={"contains": right},
            choices=tuple(relation.say(thing.name, value) for value in values),
        )


def _statement(rng: random.Random, thing: Thing, relation: Relation, wording: int | None) -> str:
    number = rng.randrange(len(relation.says)) if wording is None else wording
    return relation.say(thing.name, thing.facts[relation.name], number)


CHAINS: dict[tuple[str, str, str], tuple[tuple[str, ...], tuple[str, ...]]] = {
    ("home", "town", "region"): (
        lines("""In what region does {s} live?
              To which region does the home of {s} belong?
              Name the region where {s} lives.
              {s} lives in which region?"""),
        lines("""In which region does {s} live?
              Which region does {s} live in?
              In what region is the home of {s}?"""),
    ),
    ("home", "town", "river"): (
        lines("""On which river does {s} live?
              What river flows through the home of {s}?
              Where can {s} fish at home?"""),
        lines("""Which river does {s} live on?
              Which river flows through the home of {s}?
              On which river is the home of {s}?"""),
    ),
    ("home", "town", "product"): (
        lines("""What is the home of {s} known for?
              What do people buy in the home of {s}?
              What is made where {s} lives?"""),
        lines("""For what is the home of {s} known?
              What is the town where {s} lives known for?
              For what is the town of {s} known?"""),
    ),
    ("job", "job", "tool"): (
        lines("""Which tool does {s} need for work?
              What does {s} work with?
              Name the tool of {s}."""),
        lines("""What tool does {s} need for work?
              Which tool does {s} work with?
              With which tool does {s} work?"""),
    ),
    ("job", "job", "workplace"): (
        lines("""Where does {s} work?
              In what place does {s} work?
              Where do you meet {s} at work?"""),
        lines("""In which place does {s} work?
              Where can you meet {s} at work?
              Where does {s} go to work?"""),
    ),
    ("pet", "animal", "eats"): (
        lines("""What does the pet of {s} eat?
              What does {s} feed to the pet?
              Name the food of the pet of {s}."""),
        lines("""Which food does the pet of {s} eat?
              What food does {s} feed to the pet?
              What does {s} give to the pet?"""),
    ),
    ("pet", "animal", "sleeps"): (
        lines("""Where does the pet of {s} sleep?
              Where does the pet of {s} lie at night?
              Where is the bed of the pet of {s}?"""),
        lines("""Where does the pet of {s} sleep at night?
              Where at night does the pet of {s} sleep?
              Where is the pet of {s} at night?"""),
    ),
    ("food", "food", "taste"): (
        lines("""How does the favourite food of {s} taste?
              What is the taste of the favourite food of {s}?
              What taste does {s} like?"""),
        lines("""Which taste does the favourite food of {s} have?
              Which taste does {s} like?
              How does the food that {s} likes taste?"""),
    ),
    ("food", "food", "season"): (
        lines("""When do people cook the favourite food of {s}?
              What is the season of the favourite food of {s}?
              When is the favourite food of {s} on every table?"""),
        lines("""In which season do people cook the favourite food of {s}?
              Which season is the season of the favourite food of {s}?
              When is the season of the favourite food of {s}?"""),
    ),
    ("friend", "person", "home"): (
        lines("""Where does the best friend of {s} live?
              What is the home of the best friend of {s}?
              Where is the house of the friend of {s}?"""),
        lines("""In which town does the best friend of {s} live?
              Where does the friend of {s} live?
              Which town is the home of the best friend of {s}?"""),
    ),
    ("friend", "person", "job"): (
        lines("""What is the job of the best friend of {s}?
              What does the best friend of {s} work as?
              How does the friend of {s} earn money?"""),
        lines("""Which job does the best friend of {s} have?
              What does the friend of {s} work as?
              What work does the best friend of {s} do?"""),
    ),
    ("mother", "person", "home"): (
        lines("""Where does the mother of {s} live?
              What is the home of the mother of {s}?
              Where is the house of the mother of {s}?"""),
        lines("""In which town does the mother of {s} live?
              Which town is the home of the mother of {s}?
              Which town does the mother of {s} live in?"""),
    ),
    ("mother", "person", "pet"): (
        lines("""Which animal does the mother of {s} keep?
              What is the pet of the mother of {s}?
              What pet does the mother of {s} have?"""),
        lines("""What animal does the mother of {s} keep?
              Which pet does the mother of {s} have?
              Which animal is the pet of the mother of {s}?"""),
    ),
}
"""Questions through two facts, by (relation of the person, kind of its value, relation of that): shown, held out."""

HELD_CHAINS = 0.4


class Hops(Lesson):
    """Two facts in a chain, with the bridge written out."""

    suite = "hops"
    shows = "two facts in a chain about people never asked this way, the bridge written out"
    share = 13.0

    def _draw(self, rng: random.Random, is_held: bool) -> tuple[Thing, tuple[str, str, str]]:
        while True:
            person, chain = rng.choice(self.world.people), rng.choice(tuple(CHAINS))
            if held(f"{person.name} {chain}", HELD_CHAINS) == is_held:
                return person, chain

    def _answer(self, person: Thing, chain: tuple[str, str, str]) -> tuple[str, str]:
        first, kind, second = chain
        bridge = self.world.thing(kind, person.facts[first])
        return f"{person.say(first)} {bridge.say(second)}", bridge.facts[second]

    def tell(self, rng: random.Random) -> Row:
        """Returns a question through two facts, and its answer."""
        person, chain = self._draw(rng, False)
        return talk(rng.choice(CHAINS[chain][0]).format(s=person.name), self._answer(person, chain)[0])

    def ask(self, rng: random.Random) -> Question:
        """Returns a chain that pretraining never asks about this person, in a held-out wording."""
        person, chain = self._draw(rng, True)
        answer, value = self._answer(person, chain)
        prompt = rng.choice(CHAINS[chain][1]).format(s=person.name)
        end = answer.rindex(value)
        others = other_values(rng, self.world.values(chain[1], chain[2]), value)
        choices = (answer, *(answer[:end] + other + answer[end + len(value) :] for other in others))
        return Question(person.name, prompt, answer, {"contains": value}, choices)


TOLD_OF = {"person": ("job", "home", "pet", "food", "plays"), "town": ("region", "river", "product", "founded")}
"""The facts of a longer answer, in order."""


class Open(Lesson):
    """Longer answers about people and towns."""

    suite = "open"
    shows = "an answer of natural length about a person or town, with what is true of it"
    share = 6.0

    def _draw(self, rng: random.Random) -> Thing:
        kind = "person" if rng.random() < 0.85 else "town"
        return rng.choice(self.world.things[kind])

    def _answer(self, thing: Thing) -> str:
        return " ".join(thing.say(relation) for relation in TOLD_OF[thing.kind])

    def tell(self, rng: random.Random) -> Row:
        """Returns a request and an answer of several sentences."""
        thing = self._draw(rng)
        return talk(capital(rng.choice(ABOUT).format(s=thing.name)), self._answer(thing))

    def ask(self, rng: random.Random) -> Question:
        """Returns a request in a held-out wording; its answer needs the first three facts and 15 words."""
        thing = self._draw(rng)
        return Question(
            group=thing.name,
            prompt=rng.choice(ABOUT_HELD).format(s=thing.name),
            answer=self._answer(thing),
            check={"contains": [thing.facts[name] for name in TOLD_OF[thing.kind][:3]], "least_words": 15},
        )
