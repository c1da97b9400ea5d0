"""The calibration in records: which choices count, what is unknown, and which suites are too small."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from holdfast.bench.measured.answers import read_answers, read_pair, write_answers
from holdfast.bench.measured.calibration import LEAST, calibration_of
from holdfast.bench.measured.calibration_record import CalibrationRow
from holdfast.core.errors import HoldfastError
from holdfast.probes.score import Answers, Said, Score
from holdfast.stats.calibration import adaptive_calibration_error, error_if_calibrated, expected_calibration_error


def answers(seed=0, role="retained", shift=0.0, **sizes):
    """Answers of a model to choices of some suites, each right with a probability of its confidence less a shift."""
    rng = np.random.default_rng(seed)
    scores, said = [], []
    for suite, size in sizes.items():
        for i in range(size):
            sure = float(rng.uniform(0.5, 1.0))
            right = float(rng.random() < sure - shift)
            about = {"unit": "points", "higher_is_better": True, "split": "proof", "choices": 2}
            scores.append(Score(suite=suite, role=role, item=f"i{i}", group=f"g{i // 2}", value=100.0 * right, **about))
            said.append(Said(suite, f"i{i}", "", "", "", sure, 2 * (sure - right) ** 2))
    return Answers(scores, said)


def columns(side):
    sure = np.array([said.confidence for said in side.said])
    return sure, np.array([score.value / 100 for score in side.scores])


def test_each_suite_has_its_figures_and_all_kept_suites_have_them_together():
    before, after = answers(1, a=120, b=80), answers(2, shift=0.2, a=120, b=80)
    row = calibration_of(before, after)
    assert [(suite.name, suite.items, suite.groups) for suite in row.suites] == [("a", 120, 60), ("b", 80, 40)]
    assert (row.retained.items, row.retained.groups) == (200, 60)  # g0 of a and g0 of b are one group
    sure, right = columns(after)
    assert row.retained.ece.after.value == pytest.approx(expected_calibration_error(sure, right))
    assert row.retained.adaptive_ece.after.value == pytest.approx(adaptive_calibration_error(sure, right))
    assert row.retained.brier.after.value == pytest.approx(np.mean(2 * (sure - right) ** 2))
    assert row.retained.overconfidence.after.value == pytest.approx(sure.mean() - right.mean())
    expected = error_if_calibrated(sure)
    assert row.retained.ece.after_if_calibrated == pytest.approx(expected[0])
    assert row.retained.adaptive_ece.after_if_calibrated == pytest.approx(expected[1])
    assert row.retained.overconfidence.change.low > 0
    assert CalibrationRow.from_dict(row.to_dict()) == row


def test_the_bins_hold_all_answers_of_both_models():
    row = calibration_of(answers(1, a=120), answers(2, a=120))
    (suite,) = row.suites
    for name in ("before", "after"):
        assert sum(getattr(bin_, name).items for bin_ in suite.bins) == 120
        gaps = [
            getattr(bin_, name).items * abs(getattr(bin_, name).accuracy - getattr(bin_, name).confidence)
            for bin_ in suite.bins
            if getattr(bin_, name).items
        ]
        assert sum(gaps) / 120 == pytest.approx(getattr(suite.ece, name).value)
    assert all(bin_.low >= 0.5 for bin_ in suite.bins)
    assert row.retained is None  # a single suite is all there is


def test_a_small_suite_has_no_calibration_error_but_a_brier_score():
    (small, large) = calibration_of(answers(1, s=LEAST - 1, l=LEAST), answers(2, s=LEAST - 1, l=LEAST)).suites
    assert small.ece is None
    assert small.adaptive_ece is None
    assert small.brier.change.low < small.brier.change.high
    assert large.ece is not None


def test_the_task_does_not_count_among_the_kept_suites():
    sides = []
    for seed in (1, 2):
        kept, task = answers(seed, a=60, b=60), answers(seed + 2, "learned", task=70)
        sides.append(Answers([*kept.scores, *task.scores], [*kept.said, *task.said]))
    row = calibration_of(*sides)
    assert row.retained.items == 120
    assert [(suite.name, suite.role) for suite in row.suites][-1] == ("task", "learned")


def test_what_is_unknown_is_named_and_counted():
    before = answers(1, a=60, graded=4, old=3)
    scores = [dataclasses.replace(s, value=37.5) if s.suite == "graded" else s for s in before.scores]
    said = [
        dataclasses.replace(s, confidence=None, brier=None) if s.suite in ("graded", "old") else s for s in before.said
    ]
    row = calibration_of(Answers(scores, said), Answers(scores, said))
    assert [(r.suite, r.items, r.reason) for r in row.unknown] == [
        ("graded", 4, "graded"),
        ("old", 3, "no probabilities"),
    ]
    assert [suite.name for suite in row.suites] == ["a"]
    generated = [dataclasses.replace(s, choices=0) for s in scores if s.suite == "old"]
    assert calibration_of(Answers(generated), Answers(generated)) is None


def test_saved_answers_keep_what_it_needs_and_older_ones_are_read_without_it(tmp_path):
    before, after = answers(1, a=60), answers(2, shift=0.3, a=60)
    for name, side in (("base", before), ("tuned", after)):
        write_answers(tmp_path / f"{name}.jsonl", side, "diff", "before")
    files = [str(tmp_path / f"{name}.jsonl") for name in ("base", "tuned")]
    assert calibration_of(*read_pair(*files, [])) == calibration_of(before, after)

    def rewrite(name, *pairs):
        text = (tmp_path / "base.jsonl").read_text()
        for old, new in pairs:
            text = text.replace(old, new)
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    without_brier = rewrite("without-brier.jsonl", *((f', "brier": {s.brier!r}', "") for s in before.said))
    (suite,) = calibration_of(*read_pair(without_brier, files[1], [])).suites
    assert suite.brier is None
    assert suite.ece == calibration_of(before, after).suites[0].ece
    with pytest.raises(HoldfastError, match="field 'brier' is 9"):
        read_answers(rewrite("wrong.jsonl", (f'"brier": {before.said[0].brier!r}', '"brier": 9')))
