"""Answers that were lost and gained between two models: pairs, of which each suite gives one before any a second."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

from holdfast.bench.diff.diff_record import AnswerRow, ExampleRows
from holdfast.probes.score import POINTS, Answers, Said


@dataclasses.dataclass(frozen=True)
class Pair:
    """The answers of both models to one item.

    Attributes:
        before: The base's answer.
        after: The tuned model's answer.
    """

    before: Said
    after: Said


@dataclasses.dataclass(frozen=True)
class Changed:
    """All answers that changed between right and wrong; each suite gives one before any suite gives a second.

    Attributes:
        lost: Answers that were right before and are wrong after.
        gained: Answers that were wrong before and are right after.
    """

    lost: tuple[Pair, ...]
    gained: tuple[Pair, ...]


def changed_answers(before: Answers, after: Answers) -> Changed:
    """Returns every lost and gained answer to the items that both models answered; graded ones are neither."""
    first, last = ({(said.suite, said.item): said for said in side.said} for side in (before, after))
    now = {(row.suite, row.item): row.value for row in after.scores}
    lost, gained = dict[str, list[Pair]](), dict[str, list[Pair]]()
    for row in before.scores:
        name = row.suite, row.item
        if row.unit == "points" and name in first and name in last and {row.value, now[name]} == {0.0, POINTS}:
            kind = lost if now[name] < row.value else gained
            kind.setdefault(row.suite, []).append(Pair(first[name], last[name]))
    return Changed(_in_turn(lost), _in_turn(gained))


def example_rows(before: Answers, after: Answers, count: int) -> ExampleRows:
    """Returns the first `count` lost and gained answers as rows of a record."""
    changed = changed_answers(before, after)
    lost, gained = (tuple(map(_row, pairs[:count])) for pairs in (changed.lost, changed.gained))
    return ExampleRows(lost=lost, gained=gained)


def _in_turn(by_suite: Mapping[str, Sequence[Pair]]) -> tuple[Pair, ...]:
    return tuple(pair for turn in itertools.zip_longest(*by_suite.values()) for pair in turn if pair is not None)


def _row(pair: Pair) -> AnswerRow:
    first = pair.before
    return AnswerRow(
        suite=first.suite,
        item=first.item,
        asked=first.asked,
        right=first.right,
        before=first.said,
        after=pair.after.said,
    )
