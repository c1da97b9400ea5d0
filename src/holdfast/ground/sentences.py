"""A small invented world from a seed, and all that is said of it: what a base learns, what is new, what is to be kept.

Known people are in the pretraining texts; new people are only in the task. Of every fact about a known person
some wordings are held out of pretraining, and so are a wording of every addition and some stories: the keep rows.
"""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Iterable, Mapping
from pathlib import Path

from holdfast.core.errors import HoldfastError
from holdfast.ground import demo_words as words
from holdfast.ground.demo_words import Topic

TRAIN_WORDINGS = (0, 1, 2)
"""Numbers of the questions that the task trains on, for every topic."""
TEST_WORDINGS = (3, 4)
"""Numbers of the questions that the task is tested on; the base knows them, of known people only."""


@dataclasses.dataclass(frozen=True)
class Person:
    """Somebody of the invented world: a name and one value per topic."""

    name: str
    facts: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Settings:
    """How large the world is.

    Attributes:
        known: People in the pretraining texts.
        new: People of the task, of whom the base has never read.
        held: Questions, and statements, held out of pretraining for each fact about a known person.
        largest: Largest number that is added (the smallest is 1).
        repeats: How often every addition stands in the pretraining texts; they are harder to learn than facts.
        stories: Stories in the pretraining texts.
        held_stories: Stories held out of it.
        notes: Longer texts that put all facts about one known person together, per person.
        memory: Share of the pretraining texts that goes into the memory file.
    """

    known: int = 64
    new: int = 64
    held: int = 2
    largest: int = 9
    repeats: int = 8
    stories: int = 400
    held_stories: int = 200
    notes: int = 3
    memory: float = 0.3


Row = dict[str, str]


def _rng(seed: int, purpose: str) -> random.Random:
    return random.Random(f"holdfast ground {seed} {purpose}")


def asked(question: str, answer: str) -> Row:
    """Returns a question and its answer as a prompt/completion row."""
    return {"prompt": f"Q: {question}\nA:", "completion": f" {answer}"}


def text_of(row: Row) -> str:
    """Returns the whole text of a row, of either format."""
    return row["text"] if "text" in row else row["prompt"] + row["completion"]


class World:
    """The people, sums and stories of one seed, and which of them are held out."""

    def __init__(self, seed: int = 0, settings: Settings | None = None) -> None:
        """Draws the world; the same seed and settings give the same world.

        Raises:
            HoldfastError: If the settings hold out every wording of a fact, or ask for more than can be said.
        """
        self.seed, self.settings = seed, settings or Settings()
        self._check()
        rng = _rng(seed, "people")
        towns = rng.sample([a + b for a in words.TOWN_STARTS for b in words.TOWN_ENDS], 22)
        home = Topic("home", tuple(sorted(towns)), words.HOME_QUESTIONS, words.HOME_STATEMENTS)
        self.topics: tuple[Topic, ...] = (home, words.JOB, words.FOOD, words.PET)
        names = sorted({(a + b + c).capitalize() for a in words.STARTS for b in words.MIDDLES for c in words.ENDS})
        count = self.settings.known + self.settings.new
        people = [Person(n, {t.name: rng.choice(t.values) for t in self.topics}) for n in rng.sample(names, count)]
        self.known = tuple(people[: self.settings.known])
        self.new = tuple(people[self.settings.known :])
        self._draw_held_out()

    def _check(self) -> None:
        wanted = self.settings
        most = min(len(topic) for topic in (words.HOME_STATEMENTS, words.HOME_QUESTIONS)) - 1
        for name, value, low, high in (
            ("held", wanted.held, 1, most),
            ("known + new", wanted.known + wanted.new, 2, 2000),
            ("stories + held_stories", wanted.stories + wanted.held_stories, 0, 20000),
        ):
            if not low <= value <= high:
                raise HoldfastError(f"{name}={value}: give a whole number from {low} to {high}.")

    def _draw_held_out(self) -> None:
        rng, wanted = _rng(self.seed, "held out"), self.settings
        self.held_questions: dict[tuple[str, str], tuple[int, ...]] = {}
        self.held_statements: dict[tuple[str, str], tuple[int, ...]] = {}
        for person in self.known:
            for topic in self.topics:
                key = (person.name, topic.name)
                self.held_questions[key] = tuple(sorted(rng.sample(range(len(topic.questions)), wanted.held)))
                self.held_statements[key] = tuple(sorted(rng.sample(range(len(topic.statements)), wanted.held)))
        numbers, wordings = range(1, wanted.largest + 1), range(len(words.SUM_QUESTIONS) + len(words.SUM_STATEMENTS))
        self.held_sums = {(a, b): rng.choice(wordings) for a in numbers for b in numbers}
        told: dict[str, None] = {}
        while len(told) < wanted.stories + wanted.held_stories:
            told[self._story(rng)] = None
        self.stories, self.held_stories = list(told)[: wanted.stories], list(told)[wanted.stories :]

    @staticmethod
    def _story(rng: random.Random) -> str:
        when, who, did = rng.choice(words.WHEN), rng.choice(words.WHO), rng.choice(words.DID)
        found, then, last = rng.choice(words.FOUND), rng.choice(words.THEN), rng.choice(words.DID)
        animal = who.split()[-1]
        return f"{when} {who} {did} and found {found}. The {animal} {then} and {last}."

    def _question(self, person: Person, topic: Topic, wording: int) -> Row:
        return asked(topic.questions[wording].format(n=person.name), person.facts[topic.name])

    def _statement(self, person: Person, topic: Topic, wording: int) -> Row:
        start = topic.statements[wording].format(n=person.name)
        return {"prompt": start, "completion": f" {person.facts[topic.name]}."}

    def known_rows(self) -> list[Row]:
        """Returns every question and statement about known people that is not held out, as prompt/completion rows."""
        rows = []
        for person in self.known:
            for topic in self.topics:
                key = (person.name, topic.name)
                asks = [i for i in range(len(topic.questions)) if i not in self.held_questions[key]]
                says = [i for i in range(len(topic.statements)) if i not in self.held_statements[key]]
                rows += [self._question(person, topic, i) for i in asks]
                rows += [self._statement(person, topic, i) for i in says]
        return rows

    def notes(self) -> list[Row]:
        """Returns, for every known person, texts that state all facts in changing order and told wordings."""
        rng, rows = _rng(self.seed, "notes"), []
        for person in self.known:
            for _ in range(self.settings.notes):
                sentences = []
                for topic in rng.sample(self.topics, len(self.topics)):
                    held = self.held_statements[person.name, topic.name]
                    wording = rng.choice([i for i in range(len(topic.statements)) if i not in held])
                    sentences.append(text_of(self._statement(person, topic, wording)))
                rows.append({"text": " ".join(sentences)})
        return rows

    def sums(self, held: bool) -> list[Row]:
        """Returns the additions, as questions and as statements, in the wordings that are held out or in all others."""
        rows = []
        for (a, b), number in self.held_sums.items():
            worded = [asked(question.format(a=a, b=b), str(a + b)) for question in words.SUM_QUESTIONS]
            worded += [{"prompt": s.format(a=a, b=b), "completion": f" {a + b}."} for s in words.SUM_STATEMENTS]
            rows += [row for i, row in enumerate(worded) if (i == number) == held]
        return rows

    def pretraining(self) -> list[str]:
        """Returns the texts that the base is trained on, shuffled; each is a document of its own."""
        rows = self.known_rows() + self.notes() + self.sums(held=False) * self.settings.repeats
        texts = [text_of(row) for row in rows] + self.stories
        _rng(self.seed, "pretraining").shuffle(texts)
        return texts

    def memory(self) -> list[Row]:
        """Returns a sample of what the base was trained on as rows of text, for rehearsal."""
        texts = list(dict.fromkeys(self.pretraining()))
        return [{"text": text} for text in texts[: round(self.settings.memory * len(texts))]]

    def task(self, wordings: Iterable[int]) -> list[Row]:
        """Returns these questions about every new person, shuffled."""
        chosen = tuple(wordings)
        rows = [self._question(p, t, i) for p in self.new for t in self.topics for i in chosen]
        _rng(self.seed, f"task {chosen}").shuffle(rows)
        return rows

    def keep(self) -> dict[str, list[Row]]:
        """Returns what a fine-tune should not lose, by name; none of it was told in pretraining in these words."""
        asks, says = [], []
        for person in self.known:
            for topic in self.topics:
                key = (person.name, topic.name)
                asks += [self._question(person, topic, i) for i in self.held_questions[key]]
                says += [self._statement(person, topic, i) for i in self.held_statements[key]]
        stories = [{"text": story} for story in self.held_stories]
        return {"facts": asks, "statements": says, "sums": self.sums(held=True), "stories": stories}


@dataclasses.dataclass(frozen=True)
class DemoFiles:
    """Where the rows of the demo lie.

    Attributes:
        train: Questions about new people, to be learned.
        test: The same facts about the same new people in held-out wordings.
        keep: What should not be lost, by name: facts, statements, sums, stories.
        memory: A sample of what the base was trained on, for rehearsal; shares no row with the others.
    """

    train: Path
    test: Path
    keep: dict[str, Path]
    memory: Path


def write_demo_data(folder: str | Path, seed: int = 0, settings: Settings | None = None) -> DemoFiles:
    """Writes the files of the demo as JSON lines into `folder` (made if absent) and returns where they are."""
    world, root = World(seed, settings), Path(folder)
    root.mkdir(parents=True, exist_ok=True)

    def write(name: str, rows: list[Row]) -> Path:
        path = root / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        return path

    return DemoFiles(
        train=write("train", world.task(TRAIN_WORDINGS)),
        test=write("test", world.task(TEST_WORDINGS)),
        keep={name: write(f"keep-{name}", rows) for name, rows in world.keep().items()},
        memory=write("memory", world.memory()),
    )
