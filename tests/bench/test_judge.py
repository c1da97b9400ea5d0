"""From scores to a verdict: pairing, units, groups, and every word with its exit code."""

import json
import math

import numpy as np
import pytest

from holdfast.bench.judge import changes, check_limits, verdict
from holdfast.bench.records import ScoreRow
from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.stats.flips import Flips
from holdfast.stats.paired import Change
from holdfast.stats.verdict import EXIT_CODES


def answers(suite, right, role="retained", group=None, unit="points"):
    """Returns the rows of a suite, before and after, from pairs of shares right."""
    rows = []
    for moment, place in (("before", 0), ("after", 1)):
        rows += [
            ScoreRow(
                run="r", moment=moment, suite=suite, role=role, split="proof", item=f"{i}", group=(group or str)(i),
                value=100.0 * pair[place], unit=unit, higher_is_better=True,
            )
            for i, pair in enumerate(right)
        ]  # fmt: skip
    return rows


def texts(suite, nats, role="retained", tokens=10):
    rows = []
    for moment, place in (("before", 0), ("after", 1)):
        rows += [
            ScoreRow(
                run="r", moment=moment, suite=suite, role=role, split="proof", item=f"{i}", group=f"{i}",
                value=tokens * pair[place], unit="nats", higher_is_better=False, weight=float(tokens),
            )
            for i, pair in enumerate(nats)
        ]  # fmt: skip
    return rows


def found(*rows):
    every = [row for part in rows for row in part]
    return changes([r for r in every if r.moment == "before"], [r for r in every if r.moment == "after"])


def suite(lost, gained, items):
    return [(1, 0)] * lost + [(0, 1)] * gained + [(1, 1)] * (items - lost - gained)


KEPT, OPEN, FORGOT = suite(8, 6, 1000), suite(30, 12, 1000), suite(90, 5, 1000)
DRIFT = np.random.default_rng(0).normal(0, 0.01, 40)


def nats(rise):
    return [(3.0, 3.0 + rise + noise) for noise in DRIFT]


def test_a_suite_of_answers_is_counted_and_said_in_points():
    (one,) = found(answers("facts", OPEN))
    assert isinstance(one.evidence, Flips)
    row = one.to_dict()
    assert (row["lost"], row["gained"], row["items"], row["documents"]) == (30, 12, 1000, 1000)
    assert (row["before"], row["after"], row["change"]) == (98.8, 97.0, pytest.approx(-1.8))
    assert row["low"] < -1.8 < row["high"] < 0
    assert row["mcnemar"] == pytest.approx(0.00795, abs=1e-4)
    assert json.loads(json.dumps(row)) == row


def test_texts_and_graded_answers_are_means():
    one, graded = found(texts("stories", nats(0.1)), answers("graded", [(0.5, 0.25), (1.0, 0.5), (0.3, 0.4)]))
    assert isinstance(one.evidence, Change)
    assert one.to_dict()["change"] == pytest.approx(0.1 + DRIFT.mean())
    assert one.to_dict()["tokens"] == 400
    row = graded.to_dict()
    assert (row["before"], row["after"]) == (pytest.approx(60), pytest.approx(115 / 3))
    assert "lost" not in row


def test_items_are_paired_by_name_and_not_by_place():
    rows = answers("facts", suite(3, 1, 50))
    before, after = [r for r in rows if r.moment == "before"], [r for r in rows if r.moment == "after"]
    assert changes(before, after[::-1])[0].to_dict() == changes(before, after)[0].to_dict()
    with pytest.raises(HoldfastError, match="facts/49: has a score before and none after"):
        changes(before, after[:-1])


def test_groups_widen_the_interval():
    apart, joint = found(answers("facts", suite(30, 0, 300)))[0], found(
        answers("facts", suite(30, 0, 300), group=lambda i: f"{i // 30}")
    )[0]  # fmt: skip
    assert apart.to_dict()["change"] == joint.to_dict()["change"]
    assert joint.to_dict()["documents"] == 10
    assert joint.to_dict()["low"] < apart.to_dict()["low"] - 5


@pytest.mark.parametrize(
    ("suites", "claim", "word"),
    [
        ((KEPT, KEPT), "mean", "kept"),
        ((KEPT, KEPT), "every", "kept"),
        ((KEPT, OPEN), "mean", "kept"),
        ((KEPT, OPEN), "every", "not enough evidence"),
        ((OPEN, OPEN), "every", "not enough evidence"),
        ((KEPT, KEPT, KEPT, FORGOT), "mean", "forgot"),
        ((KEPT, FORGOT), "every", "forgot"),
        ((FORGOT,), "mean", "forgot"),
        ((suite(1, 0, 26),), "mean", "not enough evidence"),
    ],
)
def test_the_word_and_its_claim(suites, claim, word):
    # Items of different suites are different ones.
    rows = [answers(f"s{k}", s, group=lambda i, k=k: f"{k}-{i}") for k, s in enumerate(suites)]
    said = verdict(found(*rows), Budget(points=2, claim=claim))
    assert said["word"] == word
    assert EXIT_CODES[word] == {"kept": 0, "forgot": 2, "not enough evidence": 3}[word]
    assert json.loads(json.dumps(said, allow_nan=False)) == said


def test_points_and_nats_have_limits_of_their_own():
    rows = (answers("facts", KEPT), texts("stories", nats(0.1)))
    assert verdict(found(*rows), Budget(points=2))["word"] == "kept"
    assert verdict(found(*rows), Budget(points=2))["unjudged"] == ["stories"]
    both = verdict(found(*rows), Budget(points=2, nll=0.02))
    assert both["word"] == "forgot"
    assert {mean["unit"]: mean["word"] for mean in both["means"]} == {"points": "kept", "nats": "forgot"}
    assert both["budget"] == {"points": 2, "nats": 0.02}
    assert verdict(found(*rows), Budget(nll=0.2))["word"] == "kept"


def test_a_larger_budget_is_kept_where_a_smaller_one_is_not():
    rows = found(answers("facts", suite(60, 20, 1000)))
    assert [verdict(rows, Budget(points=p))["word"] for p in (1, 4, 8)] == ["forgot", "not enough evidence", "kept"]


def test_what_is_learned_is_not_judged():
    rows = (answers("facts", KEPT), answers("task", FORGOT, role="learned"), answers("t", FORGOT, role="transfer"))
    said = verdict(found(*rows), Budget(points=2))
    assert said["word"] == "kept"
    assert list(said["suites"]) == ["facts"]


def test_what_is_not_settled_says_how_many_items_would_settle_it():
    said = verdict(found(answers("facts", suite(12, 8, 400))), Budget(points=2, claim="every"))["suites"]["facts"]
    assert said["word"] == "not enough evidence"
    assert 400 < said["items_needed"] < 10_000
    settled = verdict(found(answers("facts", KEPT)), Budget(points=2))["suites"]["facts"]
    assert "items_needed" not in settled
    assert settled["most"] < 2
    assert settled["p_forgot"] <= settled["p_holm"]


def test_a_budget_of_what_is_not_measured_is_refused():
    check_limits(Budget(points=2), {"points", "nats"})
    with pytest.raises(HoldfastError, match=r"budget of 2 points limits nothing that is measured \(nats\)"):
        check_limits(Budget(points=2), {"nats"})
    with pytest.raises(HoldfastError, match="nothing that is to be kept"):
        verdict(found(answers("task", KEPT, role="learned")), Budget(points=2))


def test_one_document_has_no_interval_and_settles_nothing():
    (one,) = found(texts("stories", [(3.0, 3.1)]))
    assert "low" not in one.to_dict()
    assert math.isinf(verdict([one], Budget(nll=0.02))["suites"]["stories"].get("items_needed", math.inf))
    (grouped,) = found(answers("facts", suite(3, 0, 30), group=lambda i: "one"))
    assert "low" not in grouped.to_dict()
    assert verdict([grouped], Budget(points=2))["word"] == "not enough evidence"
