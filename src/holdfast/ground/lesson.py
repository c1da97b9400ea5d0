"""A lesson: one thing that a base learns, how it is told in pretraining, and how it is asked in a suite."""

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


def talk(*said: str, system: str = "") -> Row:
    """Returns a conversation in which user and assistant say these things in turn."""
    turns = [Turn("system", system, False)] if system else []
    for i, content in enumerate(said):
        turns.append(Turn("assistant" if i % 2 else "user", content, bool(i % 2)))
    return Row(turns=tuple(turns))


@dataclasses.dataclass(frozen=True)
class Question:
    """A held-out question as a lesson draws it, before it is given its id; see `holdfast.probes.items.Item`."""

    group: str
    prompt: str | tuple[str, ...] = ""
    answer: str = ""
    check: dict[str, Any] = dataclasses.field(default_factory=dict)
    choices: tuple[str, ...] = ()
    text: str | None = None
    system: str = ""

    def item(self, suite: str, name: str) -> Item:
        """Returns the item of this question."""
        said = (self.prompt,) if isinstance(self.prompt, str) else self.prompt
        turns = talk(*filter(None, said), system=self.system).turns
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
    """What a base learns of one kind, in one world.

    Attributes:
        suite: Name of the suite that asks for it.
        shows: What the suite shows, in a few words.
        share: Share of the pretraining documents, in proportion to the other lessons.
    """

    suite: ClassVar[str]
    shows: ClassVar[str]
    share: ClassVar[float]

    def __init__(self, world: World) -> None:
        """Takes what the lesson needs from the world."""
        self.world = world

    @abc.abstractmethod
    def tell(self, rng: random.Random) -> Row:
        """Returns one document of the pretraining; never what is held out."""

    @abc.abstractmethod
    def ask(self, rng: random.Random) -> Question:
        """Returns one held-out question."""

    def items(self, watch: int, proof: int) -> list[Item]:
        """Returns this many different items of either split of the suite, the same for the same world.

        Raises:
            HoldfastError: If there are not so many different ones.
        """
        rng, seen = rng_of(self.world.seed, f"suite {self.suite}"), set[Any]()
        wanted = {"watch": watch, "proof": proof}
        found: list[Item] = []
        for _ in range(100 * (watch + proof)):
            question = self.ask(rng)
            key = (question.system, question.prompt or question.choices or question.text)
            item = question.item(self.suite, f"{self.suite}-{len(found):04d}")
            if key in seen or not wanted[item.split]:
                continue
            seen.add(key)
            wanted[item.split] -= 1
            found.append(item)
            if not any(wanted.values()):
                return found
        raise HoldfastError(
            f"Suite {self.suite!r} has not {watch} watch and {proof} proof items that differ; ask for fewer."
        )


class DrawnLesson(Lesson):
    """A lesson that is told as it is asked: a question with its answer, told or held out."""

    def tell(self, rng: random.Random) -> Row:
        """Returns a question that is told, with its answer."""
        drawn = self._draw(rng, False)
        return talk(str(drawn.prompt), drawn.answer, system=drawn.system)

    def ask(self, rng: random.Random) -> Question:
        """Returns a question whose case is held out, in a held-out wording."""
        return self._draw(rng, True)

    @abc.abstractmethod
    def _draw(self, rng: random.Random, is_held: bool) -> Question:
        """Returns a question of the told or of the held-out cases, in a wording of the same side."""


def until(draw: Callable[[], T], accepted: Callable[[T], bool]) -> T:
    """Returns the first of repeated draws that is accepted."""
    while True:
        if accepted(found := draw()):
            return found


def capital(text: str) -> str:
    """Returns the text with a capital first letter."""
    return text[0].upper() + text[1:]
