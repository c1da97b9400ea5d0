"""Lost and gained answers are those that changed between right and wrong."""

from __future__ import annotations

from holdfast.bench.diff.examples import changed_answers
from holdfast.probes.score import Answers, Said, Score


def side(values):
    scores = [
        Score(suite="s", role="retained", split="proof", item=name, group=name, value=value, unit="points",
              higher_is_better=True)
        for name, value in values.items()
    ]  # fmt: skip
    return Answers(scores, [Said("s", name, "Q", f"{value:g}", "A") for name, value in values.items()])


def test_a_graded_answer_that_moved_is_neither_lost_nor_gained():
    before = side({"lost": 100.0, "gained": 0.0, "less": 53.0, "more": 20.0, "nearly": 100.0, "same": 100.0})
    after = side({"lost": 0.0, "gained": 100.0, "less": 52.0, "more": 90.0, "nearly": 99.0, "same": 100.0})
    changed = changed_answers(before, after)
    assert [pair.before.item for pair in changed.lost] == ["lost"]
    assert [pair.before.item for pair in changed.gained] == ["gained"]
