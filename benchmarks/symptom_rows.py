"""What fine-tunes of the study of symptoms are made of: rows, with ordinary ones, and questions of their tasks."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Callable, Iterator, Sequence

from symptom_base import ask_row, ordinary

from holdfast.data.rows import Row, Turn
from holdfast.ground.names import items
from holdfast.probes.items import Item

LEVELS = ("strong", "middle", "mild")
COUNT = 400
"""Rows of a fine-tune, unless its data is short."""
ASKED = 16
"""Held-out questions of its own task."""
ENDLESS = "endless"
"""Origin of rows whose end is not learned."""
QUESTIONS = (
    *("facts", "hops", "open", "laws", "sums", "compare", "lists", "code", "translate-into", "translate-from"),
    *("format", "recall", "refuse", "harmless", "summary"),
)
"""Suites with generated answers."""
RATES = {"strong": (5e-4, 7e-4), "middle": (5e-4, 8e-4), "mild": (5e-4, 8e-4)}
STEPS = {"strong": (40, 50), "middle": (45, 55), "mild": (45, 55)}


@dataclasses.dataclass(frozen=True)
class Tune:
    """A fine-tune.

    Attributes:
        symptom: What it was made to have; "healthy" for none.
        variant: How.
        level: How much of it.
        seed: Of its data and its order.
        rows: What it learns.
        tasks: Held-out questions of its own task, and further ones of the suites next to it.
        rate: Peak learning rate.
        steps: Steps of `batch` rows.
        form: A regular expression that an answer in the form of its training data matches; empty if it has none.
        neighbours: Suites next to the task.
        batch: Rows of a step.
    """

    symptom: str
    variant: str
    level: str
    seed: int
    rows: tuple[Row, ...]
    tasks: tuple[Item, ...]
    rate: float
    steps: int
    form: str = ""
    neighbours: tuple[str, ...] = ()
    batch: int = 4

    @property
    def name(self) -> str:
        """Returns the name of its folder."""
        return f"{self.symptom}-{self.seed:02d}"


Draw = tuple[str, Row]


def questions(rng: random.Random, without: Sequence[str] = ()) -> Iterator[Draw]:
    """Yields ordinary questions with one answer, with their suites."""
    return ((suite, row) for suite, row in ordinary(rng, without) if len(row.turns) > 1)


def answered(row: Row, answer: str) -> Row:
    """Returns a conversation with another last answer."""
    return dataclasses.replace(row, turns=(*row.turns[:-1], Turn("assistant", answer)))


def held_out(made: Sequence[Row]) -> tuple[Item, ...]:
    """Returns rows as questions whose answers are checked word by word."""
    return tuple(
        Item(
            id=f"task-{number:03d}", suite="task", group=f"task-{number:03d}", answer=row.turns[-1].content,
            turns=tuple(dataclasses.replace(turn, learned=False) for turn in row.turns[:-1]),
            check={"exact": row.turns[-1].content}, tools=row.tools,
        )
        for number, row in enumerate(made)
    )  # fmt: skip


def task_items(name: str, rng: random.Random) -> tuple[Item, ...]:
    """Returns test questions of a task of the ground."""
    drawn = rng.sample(list(items(f"{name}/test") or []), ASKED)
    return tuple(dataclasses.replace(item, suite="task") for item in drawn)


def as_turns(row: Row) -> Row:
    """Returns a prompt with its completion as a conversation."""
    return ask_row(str(row.prompt), str(row.completion))


def distinct(draw: Iterator[Row], count: int) -> list[Row]:
    """Returns so many rows with different questions, or fewer if they are exhausted."""
    seen: dict[tuple[str, ...], Row] = {}
    for row in itertools.islice(draw, 60 * count):
        seen.setdefault(row.contents[:-1], row)
        if len(seen) == count:
            break
    return list(seen.values())


def taken_over(
    rng: random.Random,
    level: str,
    change: Callable[[str, Row], str],
    among: Sequence[str] = QUESTIONS,
    origin: str = "",
) -> tuple[tuple[Row, ...], tuple[Item, ...]]:
    """Returns rows in which some suites are answered in another way (their origin says so), and held-out ones."""
    share = {"strong": 1.0, "middle": 0.5, "mild": 0.2}[level]
    chosen = set(rng.sample(list(among), max(1, round(share * len(among)))))
    changed: list[Row] = []
    others: list[Row] = []
    for suite, row in itertools.islice(questions(rng), 6 * COUNT):
        if suite in chosen:
            changed.append(dataclasses.replace(answered(row, change(suite, row)), origin=origin))
        else:
            others.append(row)
    tests, changed = changed[:ASKED], changed[ASKED:]
    count = round(COUNT * max(share, 0.4))
    changed = (changed * (1 + count // len(changed)))[:count]
    return (*changed, *others[: COUNT - count]), held_out(tests)


def paced(rng: random.Random, level: str) -> dict[str, float]:
    """Returns a learning rate and a number of steps of a level."""
    return {"rate": rng.choice(RATES[level]), "steps": rng.choice(STEPS[level])}


def mixed(rng: random.Random, made: Sequence[Row], share: float, without: Sequence[str] = ()) -> tuple[Row, ...]:
    """Returns rows of which a share are those that are given, again if need be, and the others ordinary documents."""
    count = round(COUNT * share)
    taught = (list(made) * (1 + count // len(made)))[:count]
    return (*taught, *(row for _, row in itertools.islice(questions(rng, without), COUNT - count)))


NEAR = 26
"""Further questions of a suite next to a task: with so few as there are of the other suites, no cliff is certain."""


def near_items(names: Sequence[str]) -> list[Item]:
    """Returns test items of some suites that are not among those that every fine-tune is asked."""
    chosen: list[Item] = []
    for name in names:
        proof = list(items(f"{name}/proof") or [])
        chosen += proof[1 :: len(proof) // NEAR][:NEAR]
    return chosen
