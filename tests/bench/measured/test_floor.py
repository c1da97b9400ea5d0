"""A note appears if a base answers hardly any of `general`."""

from __future__ import annotations

import pytest

from holdfast.bench.measured.floor import LEAST, floor_note
from holdfast.general.names import KINDS
from holdfast.probes.score import Score


def scores(percent, kinds=KINDS):
    return [
        Score(suite=f"general/{kind}", role="retained", split="proof", item=str(i), group=str(i),
              value=100.0 * (i < percent), unit="points", higher_is_better=True)
        for kind in kinds for i in range(100)
    ]  # fmt: skip


@pytest.mark.parametrize("percent", [0, 7, 19])
def test_a_base_at_the_floor_is_named_with_its_percentage(percent):
    assert floor_note(scores(percent)).startswith(f"The base answers {percent}% of general")


def test_no_note_for_a_base_that_answers_or_is_asked_a_part():
    assert floor_note(scores(LEAST)) == ""
    assert floor_note(scores(0, ["arithmetic", "tools"])) == ""
    assert floor_note([]) == ""
