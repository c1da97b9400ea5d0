"""From scores to a verdict: pairing, units, groups, and every word with its exit code."""

import dataclasses
import json
import math

import numpy as np
import pytest

from holdfast.bench.measured.learning import LearnedBeforeRewind, learning_of
from holdfast.bench.measured.measurement import row_of
from holdfast.bench.measured.outcome import EXIT_CODES, Learning, Outcome, SuiteRow, VerdictRow
from holdfast.bench.measured.verdict import check_limits, gains_and_losses, verdict
from holdfast.bench.run.record import GuardRow, LookRow
from holdfast.bench.run.rewind import learned_before_rewind
from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.probes.changes import changes, over_seeds
from holdfast.probes.score import Score
from holdfast.stats.flips import Flips
from holdfast.stats.paired import Change
from tests.bench.comparison import guard as guard_of


def answers(suite, right, role="retained", group=None, unit="points"):
    """Returns the scores of a suite, before and after, from pairs of shares right."""
    before, after = (
        [
            Score(
                suite=suite, role=role, split="proof", item=f"{i}", group=(group or str)(i),
                value=100.0 * pair[place], unit=unit, higher_is_better=True,
            )
            for i, pair in enumerate(right)
        ]
        for place in (0, 1)
    )  # fmt: skip
    return before, after


def texts(suite, nats, role="retained", tokens=10):
    before, after = (
        [
            Score(
                suite=suite, role=role, split="proof", item=f"{i}", group=f"{i}",
                value=tokens * pair[place], unit="nats", higher_is_better=False, weight=float(tokens),
            )
            for i, pair in enumerate(nats)
        ]
        for place in (0, 1)
    )  # fmt: skip
    return before, after


def found(*rows):
    return changes(*([score for part in rows for score in part[place]] for place in (0, 1)))


def suite(lost, gained, items):
    return [(1, 0)] * lost + [(0, 1)] * gained + [(1, 1)] * (items - lost - gained)


KEPT, OPEN, FORGOT = suite(8, 6, 1000), suite(30, 12, 1000), suite(90, 5, 1000)
DRIFT = np.random.default_rng(0).normal(0, 0.01, 40)


def nats(rise):
    return [(3.0, 3.0 + rise + noise) for noise in DRIFT]


def test_a_suite_of_answers_is_counted_and_said_in_points():
    (one,) = found(answers("facts", OPEN))
    assert isinstance(one.evidence, Flips)
    row = row_of(one)
    assert (row.answers_lost, row.answers_gained, row.items, row.groups) == (30, 12, 1000, 1000)
    assert (row.before, row.after, row.change) == (98.8, 97.0, pytest.approx(-1.8))
    assert row.low < -1.8 < row.high < 0
    assert row.mcnemar_p == pytest.approx(0.00795, abs=1e-4)
    assert SuiteRow.from_dict(json.loads(json.dumps(row.to_dict()))) == row


def test_texts_and_graded_answers_are_means():
    one, graded = found(texts("stories", nats(0.1)), answers("graded", [(0.5, 0.25), (1.0, 0.5), (0.3, 0.4)]))
    assert isinstance(one.evidence, Change)
    assert row_of(one).change == pytest.approx(0.1 + DRIFT.mean())
    assert row_of(one).tokens == 400
    row = row_of(graded)
    assert (row.before, row.after) == (pytest.approx(60), pytest.approx(115 / 3))
    assert row.answers_lost is None


def test_items_are_paired_by_name_and_not_by_place():
    before, after = answers("facts", suite(3, 1, 50))
    assert row_of(changes(before, after[::-1])[0]) == row_of(changes(before, after)[0])
    with pytest.raises(HoldfastError, match="facts/49: has a score before and none after"):
        changes(before, after[:-1])


def test_groups_widen_the_interval():
    apart, joint = found(answers("facts", suite(30, 0, 300)))[0], found(
        answers("facts", suite(30, 0, 300), group=lambda i: f"{i // 30}")
    )[0]  # fmt: skip
    assert row_of(apart).change == row_of(joint).change
    assert row_of(joint).groups == 10
    assert row_of(joint).low < row_of(apart).low - 5


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
    assert said.word == word
    assert EXIT_CODES[word] == {"kept": 0, "forgot": 2, "not enough evidence": 3}[word]
    assert type(said).from_dict(json.loads(json.dumps(said.to_dict(), allow_nan=False))) == said


def test_points_and_nats_have_limits_of_their_own():
    rows = (answers("facts", KEPT), texts("stories", nats(0.1)))
    assert verdict(found(*rows), Budget(points=2)).word == "kept"
    assert verdict(found(*rows), Budget(points=2)).unjudged == ("stories",)
    both = verdict(found(*rows), Budget(points=2, nll=0.02))
    assert both.word == "forgot"
    assert {mean.unit: mean.word for mean in both.means} == {"points": "kept", "nats": "forgot"}
    assert both.limits == {"points": 2, "nats": 0.02}
    assert verdict(found(*rows), Budget(nll=0.2)).word == "kept"


def test_a_larger_budget_is_kept_where_a_smaller_one_is_not():
    rows = found(answers("facts", suite(60, 20, 1000)))
    assert [verdict(rows, Budget(points=p)).word for p in (1, 4, 8)] == ["forgot", "not enough evidence", "kept"]


def test_what_is_learned_is_not_judged():
    rows = (answers("facts", KEPT), answers("task", FORGOT, role="learned"), answers("t", FORGOT, role="transfer"))
    said = verdict(found(*rows), Budget(points=2))
    assert said.word == "kept"
    assert list(said.suites) == ["facts"]


def test_what_is_not_settled_says_how_many_items_would_settle_it():
    said = verdict(found(answers("facts", suite(12, 8, 400))), Budget(points=2, claim="every")).suites["facts"]
    assert said.word == "not enough evidence"
    assert 400 < said.items_needed < 10_000
    settled = verdict(found(answers("facts", KEPT)), Budget(points=2)).suites["facts"]
    assert settled.items_needed is None
    assert settled.most < 2
    assert settled.p_forgot <= settled.p_holm


def test_a_budget_of_what_is_not_measured_is_refused():
    check_limits(Budget(points=2), {"points", "nats"})
    with pytest.raises(HoldfastError, match=r"budget of 2 points limits none of the measured units \(nats\)"):
        check_limits(Budget(points=2), {"nats"})
    with pytest.raises(HoldfastError, match="no suite to keep"):
        verdict(found(answers("task", KEPT, role="learned")), Budget(points=2))


def test_one_document_has_no_interval_and_settles_nothing():
    (one,) = found(texts("stories", [(3.0, 3.1)]))
    assert row_of(one).low is None
    assert verdict([one], Budget(nll=0.02)).suites["stories"].items_needed is None
    said = verdict([one], Budget(nll=0.02))
    assert {said.means[0].low, said.means[0].high, said.means[0].most} == {None}
    assert json.dumps(said.to_dict(), allow_nan=False), "what has no bound is left out, and the rest can be written"
    (grouped,) = found(answers("facts", suite(3, 0, 30), group=lambda i: "one"))
    assert row_of(grouped).low is None
    assert verdict([grouped], Budget(points=2)).word == "not enough evidence"


# Gains and losses


@pytest.mark.parametrize(
    ("pairs", "group", "known"),
    [
        ([(1, 0)] * 4, lambda i: "one", False),
        ([(1, 0)], None, False),
        ([(1, 0)] * 10, None, False),
        (suite(6, 0, 100), None, True),
    ],
)
def test_a_suite_that_shows_no_noise_states_no_smallest_loss(pairs, group, known):
    """It was stated as 0.0 points, the best of all suites."""
    said = verdict(found(answers("a", pairs, group=group), answers("b", suite(2, 2, 200))), Budget(points=2))
    assert (said.suites["a"].floor is not None) == known
    assert said.suites["b"].floor > 1
    assert said.means[0].floor > 1
    if len({(group or str)(i) for i in range(len(pairs))}) == 1:
        assert said.suites["a"].most is None


def masked(lost=12):
    """One suite loses, three gain: the mean is kept."""
    spec = [("safety", lost, 3, 100), ("maths", 5, 40, 400), ("facts", 5, 40, 400), ("code", 5, 40, 400)]
    return found(*(answers(name, suite(b, c, n), group=lambda i, name=name: f"{name}{i}") for name, b, c, n in spec))


@pytest.mark.parametrize("claim", ["mean", "every"])
def test_nothing_is_kept_while_the_test_of_a_suite_says_it_forgot(claim):
    said = verdict(masked(), Budget(points=2, claim=claim))
    assert said.word == "not enough evidence"
    assert said.suites["safety"].word == "not enough evidence"
    assert said.suites["safety"].alone == "forgot"
    assert said.suites["safety"].items_needed is None
    for lost in (17, 25):
        said = verdict(masked(lost), Budget(points=2, claim=claim))
        assert (said.word, said.suites["safety"].word) == ("forgot", "forgot")
        assert said.suites["safety"].alone is None


def test_what_suites_gained_and_lost_of_the_mean_is_said():
    (mean,) = verdict(masked(), Budget(points=2)).means
    assert mean.word == "kept"
    assert mean.gained == pytest.approx(3 * 8.75 / 4)
    assert mean.lost == pytest.approx(9 / 4)
    assert mean.gained - mean.lost == pytest.approx(mean.change)
    assert mean.lost_in == ("safety",)
    assert set(mean.gained_in) == {"maths", "facts", "code"}
    nats_ = gains_and_losses({"a": 0.1, "b": -0.3}, "nats")
    assert (nats_.lost, nats_.gained) == (pytest.approx(0.05), pytest.approx(0.15))


def test_a_single_suite_is_not_looked_at_twice():
    """Its mean is the suite: what its own test says is what is said."""
    said = verdict(found(answers("facts", suite(44, 11, 1000))), Budget(points=2))
    own = said.suites["facts"]
    assert own.p_forgot == own.p_holm
    assert 0.025 < own.p_forgot < 0.05
    assert said.word == own.word == said.means[0].word == "forgot"


# Seeds


def after_of(*suites):
    return [score for _, after in suites for score in after]


def test_over_seeds_the_verdict_is_on_the_recipe_and_of_one_seed_on_that_run():
    lost = [answers("facts", suite(count, 2, 1000)) for count in (2, 8, 30)]
    before = [row.__class__(**{**vars(row), "value": 100.0}) for row in lost[0][0]]
    runs = [[row.__class__(**{**vars(row), "value": 100.0 * (int(row.item) >= count)}) for row in after_of(own)]
            for own, count in zip(lost, (2, 8, 30), strict=True)]  # fmt: skip
    alone = over_seeds(before, runs[:1])
    assert alone == changes(before, runs[0])
    assert verdict(alone, Budget(points=2)).seeds is None
    three = over_seeds(before, runs)
    said = verdict(three, Budget(points=2))
    assert (said.seeds, said.word) == (3, "not enough evidence")
    assert row_of(three[0]).change == pytest.approx(-(0.2 + 0.8 + 3.0) / 3)
    assert type(said).from_dict(json.loads(json.dumps(said.to_dict(), allow_nan=False))) == said
    assert verdict(over_seeds(before, [runs[0]] * 3), Budget(points=2)).word == "kept"


def test_a_seed_that_is_bad_for_every_suite_is_seen_in_the_mean():
    """If what the seeds differ in were taken as independent between suites, it would cancel."""

    def of(name, counts):
        before = answers(name, [(1, 1)] * 400, group=lambda i: f"{name}{i}")[0]
        after = [[row.__class__(**{**vars(row), "value": 100.0 * (int(row.item) >= n)})
                  for row in before] for n in counts]  # fmt: skip
        return before, after

    counts = (0, 8, 16)
    parts = [of(f"s{k}", counts) for k in range(8)]
    apart = [of(f"s{k}", counts[k % 3 :] + counts[: k % 3]) for k in range(9)]
    together, alone = (
        over_seeds(
            [row for before, _ in made for row in before],
            [[r for _, after in made for r in after[s]] for s in range(3)],
        )
        for made in (parts, apart)
    )
    wide, narrow = (verdict(one, Budget(points=4)).means[0] for one in (together, alone))
    assert wide.change == pytest.approx(narrow.change) == pytest.approx(-2.0)
    assert wide.high - wide.low > 2 * 4.303 * 2 / math.sqrt(3) * 0.95
    assert narrow.high - narrow.low < 3
    assert (verdict(together, Budget(points=4)).word, verdict(alone, Budget(points=4)).word) == (
        "not enough evidence", "kept",
    )  # fmt: skip


# Learning


def task(gained, items, lost=0):
    return answers("task", [(0, 1)] * gained + [(1, 0)] * lost + [(0, 0)] * (items - gained - lost), role="learned")


@pytest.mark.parametrize(
    ("gained", "items", "word"),
    [(60, 100, "learned"), (8, 400, "learned little"), (0, 200, "not learned"), (0, 20, "not enough evidence")],
)
def test_learning_has_its_own_word_with_an_interval(gained, items, word):
    said = learning_of(found(task(gained, items), answers("facts", KEPT)))
    (entry,) = said.units
    assert said.word == entry.word == word
    assert entry.gain == pytest.approx(100 * gained / items)
    assert entry.low <= entry.gain <= entry.high
    assert entry.least == pytest.approx(5.0)
    assert type(said).from_dict(json.loads(json.dumps(said.to_dict(), allow_nan=False))) == said


def test_texts_are_learned_in_nats_and_the_best_word_stands_for_all():
    rows = texts("new", nats(-0.5), role="learned")
    said = learning_of(found(rows))
    assert said.word == "learned"
    assert said.units[0].unit == "nats"
    assert said.units[0].gain == pytest.approx(0.5 - DRIFT.mean())
    assert learning_of(found(texts("new", nats(0.3), role="learned"))).word == "not learned"
    both = learning_of(found(rows, task(0, 200)))
    assert both.word == "learned"
    assert {entry.unit: entry.word for entry in both.units} == {"nats": "learned", "points": "not learned"}


def test_without_a_task_learning_is_not_measured_and_of_one_document_unknown():
    assert learning_of(found(answers("facts", KEPT))) == Learning(word="not measured", units=())
    (entry,) = learning_of(found(texts("new", [(3.0, 1.0)], role="learned"))).units
    assert entry.word == "not enough evidence"
    assert entry.low is None


def test_a_run_that_was_put_back_learned_little_of_what_it_had():
    rows = found(task(10, 100))
    assert learning_of(rows).word == "learned"
    said = learning_of(rows, LearnedBeforeRewind(most=80.0, unit="points", started=False))
    assert (said.word, said.units[0].least, said.units[0].reached) == ("learned little", 20.0, 80.0)
    assert learning_of(found(task(30, 100)), LearnedBeforeRewind(80.0, "points", False)).word == "learned"
    start = learning_of(rows, LearnedBeforeRewind(80.0, "points", True))
    assert (start.word, start.put_back_to) == ("not learned", "start")


def test_what_a_guard_saw_is_over_what_the_base_knew_of_what_it_watched():
    rows = task(4, 40, lost=8)[0]
    watched = [row.__class__(**{**vars(row), "split": "watch"}) for row in rows]
    shown = [LookRow(step=9, learned=30.0), LookRow(step=20, learned=70.0), LookRow(step=30)]
    guard = GuardRow.from_dict(guard_of(["task"], model_of=20))
    guard = dataclasses.replace(guard, looks=tuple(shown))
    assert learned_before_rewind(guard, watched) == LearnedBeforeRewind(50.0, "points", False)
    assert learned_before_rewind(dataclasses.replace(guard, model_of=0), watched) == LearnedBeforeRewind(
        50.0, "points", True
    )
    assert learned_before_rewind(dataclasses.replace(guard, model_of=None), watched) is None
    back = dataclasses.replace(guard.looks[-1], share=0.5)
    pulled = dataclasses.replace(guard, model_of=None, looks=(*guard.looks, back))
    assert learned_before_rewind(pulled, watched) == learned_before_rewind(guard, watched)
    assert learned_before_rewind(None, watched) is None
    assert learned_before_rewind(dataclasses.replace(guard, watched=()), watched) == LearnedBeforeRewind(
        0.0, "nats", False
    )
    lines = texts("task", [(3.0, 1.0)] * 5, role="learned")[0]
    lines = [row.__class__(**{**vars(row), "split": "watch"}) for row in lines]
    found_ = learned_before_rewind(
        dataclasses.replace(guard, looks=(LookRow(step=1, learned=-2.5), LookRow(step=2, learned=-1.0))), lines
    )
    assert (found_.unit, found_.most) == ("nats", pytest.approx(2.0))


@pytest.mark.parametrize(
    ("word", "learned", "code"),
    [
        ("kept", "learned", 0),
        ("kept", "learned little", 4),
        ("kept", "not learned", 4),
        ("kept", "not enough evidence", 0),
        ("kept", "not measured", 0),
        ("forgot", "not learned", 2),
        ("not enough evidence", "not learned", 3),
    ],
)
def test_a_program_ends_by_what_was_kept_and_learned(word, learned, code):
    said = VerdictRow(word=word, limits={}, claim="mean", means=(), suites={}, unjudged=())
    judged = Outcome(suites=(), verdict=said, learned=Learning(word=learned, units=()))
    assert judged.exit_code == code
    assert dataclasses.replace(judged, verdict=None).exit_code == 0
    assert dataclasses.replace(judged, learned=None).exit_code == EXIT_CODES[word]
