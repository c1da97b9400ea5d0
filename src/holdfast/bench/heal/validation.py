"""The validation items of a healing: asked in parts, kept in a file, and read as a share of the budget."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from holdfast.bench.heal.search import PARTS, Reading
from holdfast.bench.machine.files import append_jsonl, read_jsonl
from holdfast.bench.measured.outcome import VerdictRow
from holdfast.bench.measured.verdict import verdict
from holdfast.core.budget import Budget
from holdfast.probes.changes import SuiteChange, changes
from holdfast.probes.score import Score, level
from holdfast.probes.suite import Suite
from holdfast.probes.watch_record import documents, group_of

T = TypeVar("T")
ROOM = 0.6
"""Most of the budget that the bound of a loss may take if nothing changes; more would leave no room for an edit."""


def in_parts(suites: Sequence[Suite]) -> list[list[Suite]]:
    """Returns suites in `PARTS` parts of near equal size, the first of which has something of every suite.

    All items of a group are in one part, and a hash of the groups' names puts them in order, so that the parts do not
    depend on the order of a file.
    """
    parts: list[list[Suite]] = [[] for _ in range(PARTS)]
    for suite in suites:
        text_groups = {example.origin: group_of(example) for example in reversed(suite.texts) if example.origin}
        groups = collections.Counter(item.group or item.id for item in suite.items)
        groups.update(group_of(windows[0]) for windows in documents(suite.texts))
        place = _places(groups)
        of_items = [place[item.group or item.id] for item in suite.items]
        of_texts = [place[text_groups.get(text.origin, group_of(text))] for text in suite.texts]
        for number, part in enumerate(parts):
            items, texts = _at(number, suite.items, of_items), _at(number, suite.texts, of_texts)
            if items or texts:
                part.append(dataclasses.replace(suite, items=items, texts=texts))
    return parts


def _at(number: int, members: Sequence[T], places: Sequence[int]) -> tuple[T, ...]:
    return tuple(member for member, place in zip(members, places, strict=True) if place == number)


def _places(groups: collections.Counter[str]) -> dict[str, int]:
    """Returns the number of the part of each group: in an order by hash, where its first item would be."""
    ordered = sorted(groups, key=lambda group: hashlib.blake2b(group.encode(), digest_size=8).digest())
    place, before, whole = dict[str, int](), 0, groups.total()
    for group in ordered:
        place[group] = before * PARTS // whole
        before += groups[group]
    return place


@dataclasses.dataclass
class Validation:
    """The validation items, the base's scores on them, and all answers so far.

    Attributes:
        parts: The suites, in parts.
        base: The base's scores, by part.
        budget: The budget.
        path: File of the answers, from which an interrupted search continues.
        weight: Share of the bound's distance from the loss that counts against the budget. It is 1 if the items can
            prove a loss inside the budget with room to spare, and less for fewer items, so that a model without any
            change takes at most the share `ROOM` of the budget.
    """

    parts: Sequence[Sequence[Suite]]
    base: Sequence[Sequence[Score]]
    budget: Budget
    path: Path
    weight: float = dataclasses.field(init=False)
    _answers: dict[tuple[str, float], list[list[Score]]] = dataclasses.field(init=False, default_factory=dict)
    _left: dict[tuple[str, float], float] = dataclasses.field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Reads the answers that the file has."""
        self.weight = 1.0
        self.weight = min(1.0, ROOM / max(1e-9, self.nothing))
        for row in read_jsonl(self.path) if self.path.exists() else ():
            of_base = self.base[row["part"]]
            scores = [
                dataclasses.replace(score, value=value, weight=weight)
                for score, (value, weight) in zip(of_base, row["values"], strict=True)
            ]
            self._answers.setdefault((row["edit"], row["strength"]), []).append(scores)
            self._left[row["edit"], row["strength"]] = row["left"]

    @property
    def learns(self) -> bool:
        """Whether items of the task measure what was learned."""
        return any(suite.role == "learned" for part in self.parts for suite in part)

    @property
    def nothing(self) -> float:
        """Returns the share of the budget that the bound of the loss takes if no answer changes."""
        return self.spent_by(self._of_base)

    def __len__(self) -> int:
        """Number of validation items and windows of texts."""
        return sum(len(suite) for part in self.parts for suite in part)

    def missing(self, edit: str, strength: float) -> list[int]:
        """Returns the numbers of the parts of which an edit's answers are not known."""
        return list(range(len(self._answers.get((edit, strength), ())), PARTS))

    def change_left(self, edit: str, strength: float) -> float:
        """Returns the share of the change that an edit leaves."""
        return self._left[edit, strength]

    def add(self, edit: str, strength: float, part: int, scores: Sequence[Score], left: float) -> None:
        """Keeps the answers of an edit to a part, in the file too."""
        of_base = self.base[part]
        named = {(score.suite, score.item): score for score in scores}
        ordered = [named[score.suite, score.item] for score in of_base]
        values = [[score.value, score.weight] for score in ordered]
        row: dict[str, Any] = {"edit": edit, "strength": strength, "part": part, "left": left, "values": values}
        append_jsonl(self.path, row)
        self._answers.setdefault((edit, strength), []).append(ordered)
        self._left[edit, strength] = left

    def reading(self, edit: str, strength: float) -> Reading:
        """Returns the reading of an edit from its answers."""
        after = list(itertools.chain.from_iterable(self._answers[edit, strength]))
        if not self.learns:
            return Reading(self.spent_by(after), self._left[edit, strength])
        was, now = (level([score for score in side if score.role == "learned"]) for side in (self._of_base, after))
        return Reading(self.spent_by(after), now - was)

    @property
    def _of_base(self) -> list[Score]:
        return list(itertools.chain.from_iterable(self.base))

    def spent_by(self, after: Sequence[Score]) -> float:
        """Returns the share of the budget that a model's loss takes, at its upper bound or a part of the way to it.

        A model whose verdict is "forgot" is outside the budget.
        """
        moved = changes(self._of_base, after)
        judged = verdict(moved, self.budget)
        shares = [self._share(lost, most, judged.limits[unit]) for unit, lost, most in _losses(judged, moved)]
        return max([*shares, *([1.01] if judged.word == "forgot" else [])])

    def _share(self, lost: float, most: float | None, limit: float) -> float:
        width = 0.0 if most is None else most - lost  # a single document has no bound
        return (lost + self.weight * width) / limit


def _losses(judged: VerdictRow, moved: Sequence[SuiteChange]) -> list[tuple[str, float, float | None]]:
    """Returns unit, loss and upper bound of what the budget limits: the means, or every suite."""
    if judged.claim == "mean":
        return [(mean.unit, -mean.change if mean.unit == "points" else mean.change, mean.most) for mean in judged.means]
    rows = {change.name: change for change in moved}
    return [(rows[name].unit, rows[name].lost, suite.most) for name, suite in judged.suites.items()]
