"""Invented languages, with words, morphology and word order drawn from a seed, and translation both ways."""

from __future__ import annotations

import collections
import dataclasses
import functools
import itertools
import random
from collections.abc import Sequence

from holdfast.data.rows import Row
from holdfast.ground.lesson import Lesson, Question, capital, talk, until
from holdfast.ground.wording import lines
from holdfast.ground.words import single
from holdfast.ground.world import World, held, rng_of

NOUNS = single(
    "boat bird boy cloud cook dog door farmer field flower friend garden girl hand hill horse house king lake letter "
    "moon mountain neighbour queen river road sister soldier star stone storm teacher tower tree village wall window "
    "wind wolf worker"
)
VERBS = single(
    "answer call carry clean cover draw follow greet guard hear hide hold know love move need paint pull push see"
)
PAST = {"carry": "carried", "draw": "drew", "hear": "heard", "hide": "hid", "hold": "held", "know": "knew",
        "move": "moved", "love": "loved", "see": "saw"}  # fmt: skip
ADJECTIVES = single("big blind bright cold dark happy kind long loud old poor quiet small strong warm wise")
PLURAL = {"wolf": "wolves"}


@dataclasses.dataclass(frozen=True)
class Noun:
    """A noun with its number and an optional adjective."""

    word: str
    plural: bool
    adjective: str | None

    def english(self) -> str:
        """Returns the noun phrase in English."""
        word = PLURAL.get(self.word, self.word + "s") if self.plural else self.word
        return f"the {self.adjective} {word}" if self.adjective else f"the {word}"


@dataclasses.dataclass(frozen=True)
class Sentence:
    """A sentence of subject, verb and object, in the present or past tense."""

    subject: Noun
    verb: str
    past: bool
    object: Noun

    def english(self) -> str:
        """Returns the sentence in English, with a capital and a full stop."""
        if self.past:
            verb = PAST.get(self.verb, self.verb + "ed")
        elif self.subject.plural:
            verb = self.verb
        else:
            verb = self.verb[:-1] + "ies" if self.verb.endswith("ry") else self.verb + _ending(self.verb)
        return capital(f"{self.subject.english()} {verb} {self.object.english()}.")


def _ending(verb: str) -> str:
    return "es" if verb.endswith(("sh", "ch", "s")) else "s"


def draw_sentence(
    rng: random.Random,
    nouns: Sequence[str] = NOUNS,
    verbs: Sequence[str] = VERBS,
    adjectives: Sequence[str] = ADJECTIVES,
) -> Sentence:
    """Returns a random sentence from these words; subject and object are different nouns."""
    drawn = [
        Noun(word, rng.random() < 0.4, rng.choice(adjectives) if rng.random() < 0.5 else None)
        for word in rng.sample(nouns, 2)
    ]
    return Sentence(drawn[0], rng.choice(verbs), rng.random() < 0.4, drawn[1])


class Language:
    """A language with its own words and grammar.

    Its words are drawn from syllables of its own sounds. Its grammar is an order of subject, verb and object; a place
    for the adjective; prefixes or suffixes for the plural, the object and the past; and a rule on whether adjectives
    take the plural too.
    """

    def __init__(self, world: World, name: str, onsets: str, ends: str) -> None:
        """Draws the language with this name in this world from its sounds."""
        self.name = name
        rng = rng_of(world.seed, f"language {name}")
        starts, vowels, codas = onsets.split(), list("aeiou"), ["", *ends.split()]
        forms: dict[str, None] = {}
        english = [*NOUNS, *VERBS, *ADJECTIVES]
        while len(forms) < len(english) + 3:
            syllables = [rng.choice(starts) + rng.choice(vowels) for _ in range(rng.choice((1, 2, 2)))]
            forms["".join(syllables) + rng.choice(codas)] = None
        made = list(forms)
        self.words = dict(zip(english, made, strict=False))
        self.order = rng.choice(("SOV", "VSO", "OVS", "SVO"))
        self.adjective_first = rng.random() < 0.5
        self.agrees = rng.random() < 0.5
        marks = rng.sample([onset + vowel for onset in starts for vowel in vowels], 3)
        self.plural, self.object, self.past = marks
        self.prefixed = tuple(rng.random() < 0.5 for _ in range(3))

    def _marked(self, word: str, mark: str, before: bool) -> str:
        return f"{mark}{word}" if before else f"{word}{mark}"

    def _noun(self, noun: Noun, is_object: bool) -> str:
        word = self.words[noun.word]
        if noun.plural:
            word = self._marked(word, self.plural, self.prefixed[0])
        if is_object:
            word = self._marked(word, self.object, self.prefixed[1])
        if noun.adjective is None:
            return word
        adjective = self.words[noun.adjective]
        if noun.plural and self.agrees:
            adjective = self._marked(adjective, self.plural, self.prefixed[0])
        return f"{adjective} {word}" if self.adjective_first else f"{word} {adjective}"

    @functools.cached_property
    def ambiguous(self) -> frozenset[str]:
        """Forms of words with more than one meaning."""
        seen: collections.Counter[str] = collections.Counter()
        for word in NOUNS:
            for plural, is_object in itertools.product((False, True), repeat=2):
                seen[self._noun(Noun(word, plural, None), is_object)] += 1
        for word in (*VERBS, *ADJECTIVES):
            mark, before = (self.past, self.prefixed[2]) if word in VERBS else (self.plural, self.prefixed[0])
            seen.update((self.words[word], self._marked(self.words[word], mark, before)))
        return frozenset(form for form, count in seen.items() if count > 1)

    def say(self, sentence: Sentence) -> str:
        """Returns the sentence in this language, with a capital and a full stop."""
        verb = self.words[sentence.verb]
        if sentence.past:
            verb = self._marked(verb, self.past, self.prefixed[2])
        parts = {"S": self._noun(sentence.subject, False), "V": verb, "O": self._noun(sentence.object, True)}
        return capital(" ".join(parts[role] for role in self.order) + ".")


SOUNDS = {"Velish": ("v l m n s r", "n s l"), "Torrak": ("t k r d g b", "k r t"), "Oshwan": ("sh w h p f y", "m p sh")}
"""Onsets and ends of the syllables of each language; a base knows the first two languages."""
KNOWN_LANGUAGES = ("Velish", "Torrak")

INTO = lines("""
    Translate into {l}: {t}
    How do you say this in {l}? {t}
    Say this in {l}: {t}
    What is this in {l}? {t}
""")
INTO_HELD = lines("""
    How do you say in {l}: {t}
    Please translate this into {l}: {t}
""")
FROM = lines("""
    Translate from {l}: {t}
    What does this {l} sentence mean? {t}
    What does this mean? {t}
    Say this {l} sentence in English: {t}
""")
FROM_HELD = lines("""
    Please translate this from {l}: {t}
    What does this mean in English? {t}
""")


@functools.lru_cache(maxsize=64)
def language(world: World, name: str) -> Language:
    """Returns one of the three languages of a world; the same object each time, since drawing words takes long."""
    return Language(world, name, *SOUNDS[name])


class _Translation(Lesson):
    asks: tuple[str, ...]
    held_asks: tuple[str, ...]
    into: bool

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.languages = tuple(language(world, name) for name in KNOWN_LANGUAGES)

    def _pair(self, sentence: Sentence, spoken: Language) -> tuple[str, str]:
        pair = sentence.english(), spoken.say(sentence)
        return pair if self.into else pair[::-1]

    def _draw(self, rng: random.Random, is_held: bool) -> Sentence:
        return until(lambda: draw_sentence(rng), lambda s: held(s.english(), 0.1) == is_held)

    def tell(self, rng: random.Random) -> Row:
        """Returns a sentence and its translation."""
        spoken = rng.choice(self.languages)
        given, wanted = self._pair(self._draw(rng, False), spoken)
        return talk(rng.choice(self.asks).format(l=spoken.name, t=given), wanted)

    def ask(self, rng: random.Random) -> Question:
        """Returns a sentence that pretraining shows in no language, and three wrong choices that differ in one word."""
        spoken = rng.choice(self.languages)
        sentence = until(
            lambda: self._draw(rng, True),
            lambda drawn: spoken.ambiguous.isdisjoint(spoken.say(drawn).lower().rstrip(".").split()),
        )
        given, wanted = self._pair(sentence, spoken)
        wrong: dict[str, None] = {}
        while len(wrong) < 3:
            near = [
                dataclasses.replace(sentence, verb=rng.choice(VERBS)),
                dataclasses.replace(sentence, past=not sentence.past),
                dataclasses.replace(sentence, subject=dataclasses.replace(sentence.subject, word=rng.choice(NOUNS))),
                dataclasses.replace(sentence, object=dataclasses.replace(sentence.object, word=rng.choice(NOUNS))),
            ]
            other = self._pair(rng.choice(near), spoken)[1]
            if other != wanted:
                wrong[other] = None
        prompt = rng.choice(self.held_asks).format(l=spoken.name, t=given)
        return Question(sentence.english(), prompt, wanted, {"exact": wanted}, (wanted, *wrong))


class TranslateInto(_Translation):
    """From English into the invented languages."""

    suite = "translate-into"
    shows = "sentences never seen, into two invented languages"
    share = 11.0
    asks, held_asks, into = INTO, INTO_HELD, True


class TranslateFrom(_Translation):
    """From the invented languages into English."""

    suite = "translate-from"
    shows = "sentences never seen, from two invented languages"
    share = 9.0
    asks, held_asks, into = FROM, FROM_HELD, False
