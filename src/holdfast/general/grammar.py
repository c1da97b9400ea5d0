"""Grammar: pairs of sentences that differ in one thing, of which the first is right."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.general.making import choice, pick
from holdfast.probes.items import Item

NOUNS = """
dog dogs, teacher teachers, child children, farmer farmers, woman women, doctor doctors, horse horses, student
students, bird birds, driver drivers, man men, singer singers, artist artists, nurse nurses, pilot pilots, guard
guards
"""
VERBS = "sleeps sleep, laughs laugh, waits wait, swims swim, works work, runs run, falls fall, listens listen"
NEAR_ONE, NEAR_MANY = ("the old house", "the river", "the red car", "the door"), ("the tall trees", "the windows",
    "the mountains", "the red cars")  # fmt: skip
PARTICIPLES = """
went gone to school, ate eaten the bread, saw seen the sea, broke broken the glass, wrote written a letter, drank
drunk the milk, sang sung a song, gave given her a book, took taken the bus, came come home late, flew flown to
Rome, grew grown tomatoes, knew known the answer, drove driven to work, chose chosen the blue one, began begun the
lesson, swam swum across the lake, rang rung the bell, fell fallen asleep, forgot forgotten the date, wore worn the
hat, stole stolen the car, rode ridden the horse, hid hidden the money
"""
"""Past tense, participle and the rest of a sentence."""
REFLEXIVE = "hurt saw washed blamed helped praised taught dressed introduced defended"
PREPOSITIONS = """
depends on|depends at her parents, is afraid of|is afraid from spiders, is good at|is good in chess, waited
for|waited to the bus, is interested in|is interested on music, listened to|listened at the radio, is married to|is
married with a baker, arrived at|arrived to the station, believes in|believes on ghosts, consists of|consists from
three parts, is different from|is different of mine, apologized for|apologized of the delay, agrees with|agrees to
me on this, is proud of|is proud on her son, paid for|paid of the meal, is full of|is full from water
"""
SECOND_VERBS = """
enjoy: swimming swim, avoid: driving drive, finish: reading read, decided: leave leaving, want: sing singing, hope:
win winning, promised: help helping, refused: pay paying, keep: asking ask, need: sleep sleeping, managed: escape
escaping, suggested: waiting wait, agreed: meet meeting, mind: sharing share, plan: travel traveling, imagine:
living live
"""
"""Verbs with the form that follows them, and the same verb in the form that does not."""
QUESTIONS = """
where the station is|where is the station, what time it is|what time is it, who that man is|who is that man, why she
was late|why was she late, when the train leaves|when does the train leave, how old he is|how old is he, where they
live|where do they live, what this word means|what does this word mean, how much it costs|how much does it cost, why
the baby is crying|why is the baby crying
"""

Pairs = Iterator[tuple[str, str, str, str]]
"""Name, group, right sentence and wrong sentence."""


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.replace("\n", " ").split(",")]


def items() -> list[Item]:
    """Returns the pairs; those about one noun or verb share a group."""
    return [
        choice("grammar", name, f"grammar {group}", "", "", (right, wrong))
        for make in (_agreement, _participles, _pronouns, _prepositions, _verbs, _adverbs)
        for name, group, right, wrong in make()
    ]


def _agreement() -> Pairs:
    """Yields subjects that a noun of the other number stands between, or that stand behind their verb."""
    for noun in _listed(NOUNS):
        one, many = noun.split()
        singular, plural = pick(f"verb {one}", _listed(VERBS)).split()
        others = pick(f"others {one}", [other for other in _listed(NOUNS) if other != noun]).split()[1]
        told = pick(f"told {one}", ("know", "like", "admire", "remember"))
        group = f"noun {one}"
        near = f"The {one} near {pick(f'near {one}', NEAR_MANY)}"
        yield f"near {one}", group, f"{near} {singular}.", f"{near} {plural}."
        near = f"The {many} near {pick(f'near {one}', NEAR_ONE)}"
        yield f"near {many}", group, f"{near} {plural}.", f"{near} {singular}."
        whom = f"The {one} that the {others} {told}"
        yield f"whom {one}", group, f"{whom} is tired.", f"{whom} are tired."
        with_two = f"The {one} with the two {others}"
        yield f"with {one}", group, f"{with_two} has left.", f"{with_two} have left."
        place = pick(f"behind {one}", NEAR_ONE)
        yield f"behind {many}", group, f"Behind {place} are the {many}.", f"Behind {place} is the {many}."


def _participles() -> Pairs:
    for verb in _listed(PARTICIPLES):
        past, participle, rest = verb.split(" ", 2)
        yield f"has {participle}", f"verb {past}", f"She has {participle} {rest}.", f"She has {past} {rest}."


def _pronouns() -> Pairs:
    for verb in REFLEXIVE.split():
        group = f"reflexive {verb}"
        for subject, right, wrong in (
            ("The mother of the boys", "herself", "themselves"),
            ("The boys near my mother", "themselves", "herself"),
            ("The man who married Mary", "himself", "herself"),
        ):
            yield f"{subject} {verb}", group, f"{subject} {verb} {right}.", f"{subject} {verb} {wrong}."


def _prepositions() -> Pairs:
    for text in _listed(PREPOSITIONS):
        right, rest = text.split("|")
        length = len(right.split())
        wrong, after = " ".join(rest.split()[:length]), " ".join(rest.split()[length:])
        subject = "It" if right in ("consists of", "is full of", "is different from") else "She"
        yield (
            f"preposition {right}",
            f"preposition {right}",
            f"{subject} {right} {after}.",
            f"{subject} {wrong} {after}.",
        )


def _verbs() -> Pairs:
    for text in _listed(SECOND_VERBS):
        verb, forms = text.split(": ")
        right, wrong = (form if form.endswith("ing") else f"to {form}" for form in forms.split())
        yield f"{verb} {right}", f"verb {verb}", f"They {verb} {right}.", f"They {verb} {wrong}."
    for text in _listed(QUESTIONS):
        right, wrong = text.split("|")
        yield f"know {right}", f"question {right}", f"I do not know {right}.", f"I do not know {wrong}."


def _adverbs() -> Pairs:
    for adverb in ("always", "never", "often", "usually", "rarely"):
        for verb, rest in (("drinks", "coffee in the morning"), ("reads", "the news at night"), ("takes", "the train")):
            yield f"{adverb} {verb}", f"adverb {adverb}", f"He {adverb} {verb} {rest}.", f"He {verb} {adverb} {rest}."
