"""The answer within what is said, as GSM8K and BIG-Bench Hard take it out."""

from __future__ import annotations

import pytest

from holdfast.core.errors import HoldfastError
from holdfast.probes.checks import check_markers, fulfils
from holdfast.probes.extracted import EXTRACTORS, says

CHOICES = "Which is it?\nOptions:\n(A) red car\n(B) blue bike\n(C) old train"
# Some right answers are missed, as lm-eval's patterns miss them.
CASES = [
    ("last_number", "She has 3 and 4, so $18.", "2+2\n#### 18", True),
    ("last_number", "The total is 1,234.", "so\n#### 1,234", True),
    ("last_number", "It is 18, or about 19.", "#### 18", False),
    ("last_number", "It costs $18.00", "#### 18", False),  # as in lm-eval, where the texts are compared
    ("last_number", "no number", "#### 18", False),
    ("boolean", "not True is False, so False", "True", True),
    ("boolean", "The result is False.", "False", True),
    ("yes_no", "yes, it would", "Yes", True),
    ("yes_no", "Nobody knows", "No", False),
    ("validity", "The argument is invalid.", "invalid", True),
    ("validity", "It is invalid.", "valid", False),
    ("brackets", "] ) >", "] ) >", True),
    ("brackets", "The rest is ] ) >", "] ) >", False),
    ("brackets", "] )", "] ) >", False),
    ("count", "There are 7 of them, not 8.", "7", True),
    ("count", "There are twenty one objects.", "21", True),
    ("count", "There are twenty-one objects.", "21", False),
    ("count", "Seven objects.", "7", True),
    ("count", "None at all.", "7", False),
    ("choice", "The answer is (B).", "(B)", True),
    ("choice", "It is the Blue bike!", "(B)", True),
    ("choice", "Answer: C", "(C)", True),
    ("choice", "(A) or (B)", "(B)", False),
    ("choice", "unclear", "(A)", False),
    ("plausible", "It is not plausible.", "no", True),
    ("plausible", "Plausible, I think.", "yes", True),
    ("truth", "Ann does not tell the truth.", "No", True),
    ("truth", "Ann tells the truth", "Yes", True),
    ("sorted", "fern moss oak", "fern moss oak", True),
    ("sorted", "List: oak moss fern. Sorted: fern, moss, oak", "fern moss oak", True),
    ("sorted", "oak moss fern", "fern moss oak", False),
]


@pytest.mark.parametrize(("by", "answer", "right", "same"), CASES)
def test_an_answer_is_taken_out_and_compared(by, answer, right, same):
    question = {"choice": CHOICES, "sorted": "Sort: List: oak moss fern"}.get(by, "")
    assert says(answer, by, right, question) is same
    check = {"extracted": {"by": by, "right": right, "question": question}}
    check_markers(check, "item")
    assert fulfils(answer, check) is same


def test_every_way_is_tried():
    assert {by for by, *_ in CASES} == set(EXTRACTORS)


@pytest.mark.parametrize("wanted", ["18", {"by": "sum", "right": "1"}, {"by": "count"}, {"by": "count", "right": 7}])
def test_what_cannot_be_taken_out_is_refused(wanted):
    with pytest.raises(HoldfastError, match="field 'check.extracted' is .*use 'by'"):
        check_markers({"extracted": wanted}, "item")


def test_a_word_begins_an_answer():
    assert fulfils("signs of", {"begins": "signs"})
    assert not fulfils("signsof", {"begins": "signs"})
    assert not fulfils("Signs", {"begins": "signs"})
    with pytest.raises(HoldfastError, match="use a string"):
        check_markers({"begins": ""}, "item")
