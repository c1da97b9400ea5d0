"""The budget: what it accepts, and what it says of what it does not."""

import math

import pytest

import holdfast
from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.core.guard import Guard, budget_and_guard


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, r"Budget\(\): say what may be lost: points=2 "),
        ({"points": 0}, r"Budget\(points=0\): give a number above 0 and up to 100 \(points"),
        ({"points": 101}, "up to 100"),
        ({"points": True}, r"points=True"),
        ({"points": "2"}, r"points='2'"),
        ({"nll": -0.1}, r"Budget\(nll=-0.1\): give a number above 0 \(nats per token"),
        ({"nll": math.nan}, "nll=nan"),
        ({"points": 2, "keep": "a.jsonl"}, r"^Budget\(keep=...\): say .* and give attach\(keep=...\)\.$"),
        ({"points": 2, "every": 5}, r"^Budget\(every=...\): say .* and give Guard\(every=...\)\.$"),
        ({"points": 2, "claim": "all"}, r"claim='all'\): give 'mean' or 'every'"),
    ],
)
def test_what_cannot_be_held_is_refused(given, said):
    with pytest.raises(HoldfastError, match=said):
        Budget(**given)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"every": 0}, r"Guard\(every=0\): give a whole number of steps"),
        ({"items": 0}, r"items=0\): give a whole number of items"),
        ({"items": None}, r"items=None\): give a whole number of items"),
        ({"batch_tokens": 1.5}, r"batch_tokens=1.5\): give a whole number of tokens"),
        ({"share": 1.5}, r"share=1.5\): give a number above 0 and up to 0.9 \(share of the training time"),
        ({"share": None}, r"share=None\): give a number above 0"),
        ({"on_spent": "halt"}, r"on_spent='halt'\): give 'rewind', 'steer', 'stop', 'hold' or 'log'"),
    ],
)
def test_a_guard_that_cannot_watch_is_refused(given, sentence):
    with pytest.raises(HoldfastError, match=sentence):
        Guard(**given)


def test_one_flat_record_gives_the_promise_and_the_guard():
    assert budget_and_guard({"points": 2, "on_spent": "stop"}) == (Budget(points=2), Guard(on_spent="stop"))
    assert budget_and_guard({"nll": 1}) == (Budget(nll=1), Guard())
    with pytest.raises(
        HoldfastError,
        match=r"no 'point'; use points, nll, claim, on_spent, every, share, items. Did you mean 'points'\?",
    ):
        budget_and_guard({"point": 2})


def test_a_command_line_gives_what_is_judged_and_nothing_else():
    assert Budget.from_dict({"points": 2, "claim": "every"}) == Budget(points=2, claim="every")
    with pytest.raises(HoldfastError, match=r"no 'point'; use points, nll, claim. Did you mean 'points'\?"):
        Budget.from_dict({"point": 2})
    with pytest.raises(HoldfastError, match="has no 'keep'"):
        Budget.from_dict({"keep": "general.txt", "nll": 0.1})


def test_it_says_its_units():
    assert str(Budget(points=2, nll=0.02)) == "2 points, 0.02 nats per token"
    assert str(Budget(points=1)) == "1 point"
    assert (holdfast.Budget, holdfast.Guard) == (Budget, Guard)
