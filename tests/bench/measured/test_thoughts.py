"""A note appears if answers end within a thought."""

from __future__ import annotations

import pytest

from holdfast.bench.measured.thoughts import thought_note
from holdfast.probes.score import Said


def answers(unended, count=100):
    texts = ["<think>so far" if i < unended else "<think>so</think> yes" for i in range(count)]
    return [Said("s", str(i), "Q", text, "yes", tokens=96, cut=True) for i, text in enumerate(texts)]


@pytest.mark.parametrize(("unended", "noted"), [(0, False), (4, False), (5, True), (100, True)])
def test_many_thoughts_that_do_not_end_are_said(unended, noted):
    note = thought_note(answers(unended), "org/model")
    assert note.startswith(f"org/model: {unended} of 100 answers end within their thought") if noted else note == ""


def test_choices_are_no_thoughts():
    assert thought_note([Said("s", "1", "Q", "<think>", "yes", confidence=0.5)], "org/model") == ""
    assert thought_note([], "org/model") == ""
