"""The validation items of a healing: asked, kept in a file, and read as a share of the budget.

They decide what ships, and the test items judge it. So the share counts the loss on the validation items and the room
that the verdict needs: a model is inside the budget if the verdict on the test items will be "kept", should they lose
what the validation items lose.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from holdfast.bench.heal.foresight import Sizes, foreseen, sizes_of
from holdfast.bench.heal.search import GLANCE, Reading
from holdfast.bench.machine.files import append_jsonl, read_jsonl
from holdfast.bench.measured.outcome import VerdictRow
from holdfast.bench.measured.verdict import verdict
from holdfast.core.budget import Budget
from holdfast.probes.changes import SuiteChange, changes
from holdfast.probes.score import Role, Score, level
from holdfast.probes.suite import Suite
from holdfast.probes.watch_record import documents, group_of

ROOM = 0.6
"""Most of the budget that the room may take if nothing changes; with more, no edit could be shown to be inside."""
LEFT = 0.2
"""Share of the budget that is left free where the room takes more than `ROOM`: what cannot be shown is not worth the
learning that trying would cost."""


class Validated(Protocol):
    """A suite of validation items, as the search reads it."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def role(self) -> Role:
        """What it measures."""

    def __len__(self) -> int:
        """Number of items and windows of texts."""


def glanced(suites: Sequence[Suite]) -> list[Suite]:
    """Returns about the share `GLANCE` of each suite, and something of every one.

    A group is whole in it or not in it, and a hash of the groups' names chooses, so that the order of a file does not.
    """
    chosen = []
    for suite in suites:
        groups = collections.Counter(item.group or item.id for item in suite.items)
        groups.update(group_of(windows[0]) for windows in documents(suite.texts))
        inside = first_groups(groups)
        items = tuple(item for item in suite.items if (item.group or item.id) in inside)
        texts = [window for windows in documents(suite.texts) if group_of(windows[0]) in inside for window in windows]
        chosen.append(dataclasses.replace(suite, items=items, texts=tuple(texts)))
    return chosen


def first_groups(groups: collections.Counter[str]) -> set[str]:
    """Returns the first groups in an order by hash, up to the share `GLANCE` of their items, and at least one."""
    ordered = sorted(groups, key=lambda group: hashlib.blake2b(group.encode(), digest_size=8).digest())
    inside, count = set[str](), 0
    for group in ordered:
        if count >= GLANCE * groups.total():
            break
        inside.add(group)
        count += groups[group]
    return inside


@dataclasses.dataclass
class Validation:
    """The validation items, the base's scores on them, and all answers so far.

    Attributes:
        suites: The suites.
        base: The base's scores.
        budget: The budget.
        path: File of the answers, from which an interrupted search continues; None keeps them in memory alone.
        test: Scores of the base on the test items, of which only the groups are read. Suites without any count as
            having twice as many test items as validation items, which is how items are split.
        weight: Share of the room that counts against the budget. It is 1 if the test items can prove a loss inside the
            budget with room to spare, and falls with fewer items, until a model without any change takes the share
            `LEFT` of the budget.
    """

    suites: Sequence[Validated]
    base: Sequence[Score]
    budget: Budget
    path: Path | None = None
    test: Sequence[Score] = ()
    weight: float = dataclasses.field(init=False)
    _sizes: Sizes = dataclasses.field(init=False)
    _answers: dict[tuple[str, float], list[Score]] = dataclasses.field(init=False, default_factory=dict)
    _left: dict[tuple[str, float], float] = dataclasses.field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Reads the answers that the file has."""
        self.weight = 1.0
        self._sizes = sizes_of(self.base, self.test)
        # Between the two, a smaller budget allows the same loss, so that it never allows a larger one.
        self.weight = 1.0 if (n := self.nothing) <= ROOM else max(LEFT, 1 - n * (1 - ROOM) / ROOM) / n
        for row in read_jsonl(self.path) if self.path is not None and self.path.exists() else ():
            self._answers[row["edit"], row["strength"]] = [
                dataclasses.replace(score, value=value, weight=weight)
                for score, (value, weight) in zip(self.base, row["values"], strict=True)
            ]
            self._left[row["edit"], row["strength"]] = row["left"]

    @property
    def learns(self) -> bool:
        """Whether items of the task measure what was learned."""
        return any(suite.role == "learned" for suite in self.suites)

    @property
    def nothing(self) -> float:
        """Returns the share of the budget that the room takes if no answer changes."""
        return self.spent_by(self.base)

    def __len__(self) -> int:
        """Number of validation items and windows of texts."""
        return sum(map(len, self.suites))

    def has(self, edit: str, strength: float) -> bool:
        """Returns whether the answers of an edit are known."""
        return (edit, strength) in self._answers

    def change_left(self, edit: str, strength: float) -> float:
        """Returns the share of the change that an edit leaves."""
        return self._left[edit, strength]

    def add(self, edit: str, strength: float, scores: Sequence[Score], left: float) -> None:
        """Keeps the answers of an edit, in the file too."""
        named = {(score.suite, score.item): score for score in scores}
        ordered = [named[score.suite, score.item] for score in self.base]
        values = [[score.value, score.weight] for score in ordered]
        row: dict[str, Any] = {"edit": edit, "strength": strength, "left": left, "values": values}
        if self.path is not None:
            append_jsonl(self.path, row)
        self._answers[edit, strength] = ordered
        self._left[edit, strength] = left

    def reading(self, edit: str, strength: float) -> Reading:
        """Returns the reading of an edit from its answers."""
        after = self._answers[edit, strength]
        if not self.learns:
            return Reading(self.spent_by(after), self._left[edit, strength])
        was, now = (level([score for score in side if score.role == "learned"]) for side in (self.base, after))
        return Reading(self.spent_by(after), now - was)

    def spent_by(self, after: Sequence[Score]) -> float:
        """Returns the share of the budget that a model's loss takes, with the room that the verdict on it needs.

        A model whose foreseen verdict is "forgot" is outside the budget.
        """
        moved = foreseen(changes(self.base, after), self._sizes)
        judged = verdict(moved, self.budget)
        shares = [self._share(lost, most, judged.limits[unit]) for unit, lost, most in _losses(judged, moved)]
        return max([*shares, *([1.01] if judged.word == "forgot" else [])])

    def _share(self, lost: float, most: float | None, limit: float) -> float:
        room = 0.0 if most is None else most - lost  # a single document has no bound
        return (lost + self.weight * room) / limit


def _losses(judged: VerdictRow, moved: Sequence[SuiteChange]) -> list[tuple[str, float, float | None]]:
    """Returns unit, loss and upper bound of what the budget limits: the means, or every suite."""
    if judged.claim == "mean":
        return [(mean.unit, -mean.change if mean.unit == "points" else mean.change, mean.most) for mean in judged.means]
    rows = {change.name: change for change in moved}
    return [(rows[name].unit, rows[name].lost, suite.most) for name, suite in judged.suites.items()]
