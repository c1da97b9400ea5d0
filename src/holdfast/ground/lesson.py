"""A lesson: one skill or body of facts, with documents for pretraining and questions for a suite."""

from __future__ import annotations

import abc
import dataclasses
import random
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from holdfast.core.errors import HoldfastError
from holdfast.data.rows import Row, Turn
from holdfast.ground.world import World, rng_of
from holdfast.probes.items import Item

T = TypeVar("T")


def talk(*contents: str, system: str = "") -> Row:
    """Returns a conversation in which user and assistant speak in turn."""
    turns = [Turn("system", system, False)] if system else []
    for i, content in enumerate(contents):
        turns.append(Turn("assistant" if i % 2 else "user", content, bool(i % 2)))
    return Row(turns=tuple(turns))


@dataclasses.dataclass(frozen=True)
class Question:
    """A held-out question from a lesson, before it gets an id; see `holdfast.probes.items.Item`."""

    group: str
    prompt: str | tuple[str, ...] = ""
    answer: str = ""
    check: dict[str, Any] = dataclasses.field(default_factory=dict)
    choices: tuple[str, ...] = ()
    text: str | None = None
    system: str = ""

    def item(self, suite: str, name: str) -> Item:
        """Returns the item of this question."""
        prompts = (self.prompt,) if isinstance(self.prompt, str) else self.prompt
        turns = talk(*filter(None, prompts), system=self.system).turns
        return Item(
            id=name,
            suite=suite,
            group=self.group,
            turns=tuple(dataclasses.replace(turn, learned=False) for turn in turns),
            answer=self.answer,
            check=self.check,
            choices=self.choices,
            text=self.text,
        )


class Lesson(abc.ABC):
    """One part of a base's knowledge, in one world.

    Attributes:
        suite: Name of the suite with its questions.
        shows: Description of the suite, in a few words.
        share: Weight of the lesson in the pretraining documents, relative to the other lessons.
    """

    suite: ClassVar[str]
    shows: ClassVar[str]
    share: ClassVar[float]

    def __init__(self, world: World) -> None:
        """Stores the world of the lesson."""
        self.world = world

    @abc.abstractmethod
    def tell(self, rng: random.Random) -> Row:
        """Returns a pretraining document, which contains no held-out case."""

    @abc.abstractmethod
    def ask(self, rng: random.Random) -> Question:
        """Returns a held-out question."""

    def items(self, watch: int, proof: int) -> list[Item]:
        """Returns `watch` validation and `proof` test items, all different; the same world gives the same items.

        Raises:
            HoldfastError: There are not enough different items.
        """
        rng, seen = rng_of(self.world.seed, f"suite {self.suite}"), set[Any]()
        wanted = {"watch": watch, "proof": proof}
        items_of_suite: list[Item] = []
        for _ in range(100 * (watch + proof)):
            question = self.ask(rng)
            key = (question.system, question.prompt or question.choices or question.text)
            item = question.item(self.suite, f"{self.suite}-{len(items_of_suite):04d}")
            if key in seen or not wanted[item.split]:
                continue
            seen.add(key)
            wanted[item.split] -= 1
            items_of_suite.append(item)
            if not any(wanted.values()):
                return items_of_suite
        raise HoldfastError(
            f"Suite {self.suite!r} does not have {watch} watch and {proof} proof items that differ; ask for fewer."
        )


class DrawnLesson(Lesson):
    """A lesson whose documents and questions have the same form: a question with its answer."""

    def tell(self, rng: random.Random) -> Row:
        """Returns a question for pretraining, with its answer."""
        drawn = self._draw(rng, False)
        return talk(str(drawn.prompt), drawn.answer, system=drawn.system)

    def ask(self, rng: random.Random) -> Question:
        """Returns a held-out case in a held-out wording."""
        return self._draw(rng, True)

    @abc.abstractmethod
    def _draw(self, rng: random.Random, is_held: bool) -> Question:
        """Returns a question from the shown or from the held-out cases, in a wording of the same side."""


def until(draw: Callable[[], T], accepted: Callable[[T], bool]) -> T:
    """Returns the first accepted draw."""
    while True:
        if accepted(drawn := draw()):
            return drawn


def capital(text: str) -> str:
    """Returns the text with its first letter in upper case."""
    return text[0].upper() + text[1:]
