"""Lessons in running text: stories, their summaries in one sentence, and the agreement of subject and verb."""

from __future__ import annotations

import random

from holdfast.data.rows import Row
from holdfast.ground import words
from holdfast.ground.languages import ADJECTIVES, NOUNS, VERBS, Noun, Sentence
from holdfast.ground.lesson import Lesson, Question, capital, talk
from holdfast.ground.wording import lines
from holdfast.ground.world import held


def _a(phrase: str) -> str:
    return f"an {phrase}" if phrase[0] in "aeiou" else f"a {phrase}"


class Stories(Lesson):
    """Short stories of animals, finds and gifts."""

    suite = "text"
    shows = "running text: stories never read"
    share = 5.0

    def story(self, rng: random.Random, is_held: bool) -> tuple[str, tuple[str, str, str]]:
        """Returns a story, with its animal, its find and its receiver."""
        while True:
            animal = rng.choice(words.WILD)
            find = f"{rng.choice(words.QUALITIES)} {rng.choice(words.THINGS)}"
            receiver = rng.choice(words.JOBS)
            if held(f"story {animal} {find} {receiver}", 0.15) == is_held:
                break
        mood, first, second = rng.choice(words.MOODS), *rng.sample(words.PLACES, 2)
        sentences = [
            f"{rng.choice(words.WHEN)} {_a(f'{mood} {animal}')} was {first}.",
            rng.choice((f"There the {animal} found {_a(find)}.", f"{capital(second)} it found {_a(find)}.")),
            rng.choice(
                (
                    f"The {animal} gave the {find} to {_a(receiver)}.",
                    f"{capital(_a(receiver))} came and got the {find}.",
                )
            ),
            f"{rng.choice(words.LAST)}.",
        ]
        if rng.random() < 0.4:
            sentences.insert(1, rng.choice((f"It was {rng.choice(words.MOODS)}.", "Nobody else was there.")))
        return " ".join(sentences), (animal, find, receiver)

    def tell(self, rng: random.Random) -> Row:
        """Returns a story."""
        return Row(text=self.story(rng, False)[0])

    def ask(self, rng: random.Random) -> Question:
        """Returns a story with a held-out combination of animal, find and receiver."""
        text, parts = self.story(rng, True)
        return Question(group=" ".join(parts), text=text)


class Summary(Stories):
    """Summaries of stories in one sentence."""

    suite = "summary"
    shows = "who found what for whom, of stories never read, in a sentence"
    share = 6.0
    _asks = ("Sum up: {t}", "What happens in this story? {t}", "Tell this story in a sentence: {t}")
    _held = ("Sum up this story: {t}", "Tell in a sentence what happens: {t}")

    def tell(self, rng: random.Random) -> Row:
        """Returns a story with its summary."""
        text, parts = self.story(rng, False)
        return talk(rng.choice(self._asks).format(t=text), self._sum_up(*parts))

    def ask(self, rng: random.Random) -> Question:
        """Returns a request, in a held-out wording, to sum up a held-out story; the summary must name all three."""
        text, parts = self.story(rng, True)
        answer = self._sum_up(*parts)
        check = {"contains": list(parts), "most_words": 16}
        return Question(" ".join(parts), rng.choice(self._held).format(t=text), answer, check)

    @staticmethod
    def _sum_up(animal: str, find: str, receiver: str) -> str:
        return f"{capital(_a(animal))} found {_a(find)}, and {_a(receiver)} got it."


PLAIN = lines("""
    {s} {v} {o}.
    {s} often {v} {o}.
    {s} near {x} {v} {o}.
    {s} behind {x} {v} {o}.
    {s} beside {x} {v} {o}.
    {s} that {x} {w} {v} {o}.
""")


class Agreement(Lesson):
    """Verbs that agree with their subject, with any words between them."""

    suite = "agreement"
    shows = "which verb form is likelier after a subject, with another noun between (minimal pairs)"
    share = 4.0

    def _pair(self, rng: random.Random, is_held: bool) -> tuple[str, str, str]:
        while True:
            words_ = rng.sample(NOUNS, 3)
            verb, other = rng.sample(VERBS, 2)
            if held(f"agree {words_[0]} {verb}", 0.2) == is_held:
                break
        pattern = rng.choice(PLAIN)
        nouns = [
            Noun(word, rng.random() < 0.5, rng.choice(ADJECTIVES) if rng.random() < 0.3 else None) for word in words_
        ]
        both = []
        for plural in (nouns[0].plural, not nouns[0].plural):
            text = pattern.format(
                s=nouns[0].english(), x=nouns[1].english(), o=nouns[2].english(),
                v=_form(verb, plural), w=_form(other, nouns[1].plural),
            )  # fmt: skip
            both.append(capital(text))
        return both[0], both[1], f"{words_[0]} {verb}"

    def tell(self, rng: random.Random) -> Row:
        """Returns a few correct sentences."""
        return Row(text=" ".join(self._pair(rng, False)[0] for _ in range(4)))

    def ask(self, rng: random.Random) -> Question:
        """Returns a correct and a wrong sentence with a subject and a verb that pretraining never shows together."""
        right, wrong, group = self._pair(rng, True)
        return Question(group=group, choices=(right, wrong))


def _form(verb: str, plural: bool) -> str:
    """Returns the verb in the present tense, with the spelling rules of `languages`."""
    sentence = Sentence(Noun("dog", plural, None), verb, False, Noun("cat", False, None)).english()
    return sentence.split()[2]
