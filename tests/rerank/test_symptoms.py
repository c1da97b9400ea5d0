"""Each symptom of a reranker is seen where it is planted, and not where it is not."""

import math

import numpy as np
import pytest
from scipy import stats

from holdfast.rerank.symptoms.evidence import Ranking, RankingEvidence
from holdfast.rerank.symptoms.names import NOTHING_KEPT, TESTS, symptoms_of
from holdfast.rerank.symptoms.order import negatives_reordered
from holdfast.rerank.symptoms.paired import mean_and_p
from holdfast.rerank.symptoms.scores import NO_LOGITS, calibration_lost, score_collapse, score_drift

NAMES = [test.name for test in TESTS]


def rankings(change, *, queries=60, size=12, role="retained", seed=0):
    """Returns rankings whose first document is relevant; `change(scores, number, rng)` makes the tuned scores."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(queries):
        before = rng.normal(-2, 1.5, size)
        before[0] += 4
        after = change(before.copy(), number, rng)
        made.append(
            Ranking(
                suite="s",
                query_id=f"q{number}",
                query="word " * (4 + number % 9),
                group=f"g{number}",
                documents=tuple(f"document {i}" for i in range(size)),
                relevant=np.arange(size) == 0,
                before=before,
                after=after,
                ndcg=tuple(1 / math.log2(1 + int((side >= side[0]).sum())) for side in (before, after)),
                role=role,
            )
        )
    return RankingEvidence(made)


def present(evidence):
    return [symptom.name for symptom in symptoms_of(evidence) if symptom.present]


def shuffled_others(scores, number, rng):
    scores[1:] = rng.permutation(scores[1:])
    return scores


def long_ones_fail(scores, number, rng):
    if number % 9 >= 5:
        scores[0] = np.sort(scores[1:])[len(scores) // 2]
    return scores


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (lambda scores, number, rng: scores, []),
        (lambda scores, number, rng: scores + rng.normal(0, 0.05, scores.size), []),
        (lambda scores, number, rng: scores * 0.05 + scores.mean() * 0.95, ["score collapse"]),
        (lambda scores, number, rng: scores + 1.5, ["score drift", "calibration lost"]),
        (lambda scores, number, rng: scores - 3.0, ["score drift"]),
        (lambda scores, number, rng: scores * 4 + 9, ["score drift", "calibration lost"]),
        (shuffled_others, ["negatives reordered"]),
        (long_ones_fail, ["length bias"]),
    ],
)
def test_a_planted_symptom_is_seen_and_no_other(change, seen):
    evidence = rankings(change)
    found = symptoms_of(evidence)
    assert [symptom.name for symptom in found] == NAMES
    assert [name for name in present(evidence) if name != "calibration lost" or name in seen] == seen
    for symptom in found:
        assert symptom.unchecked == ""
        assert symptom.answers == 60
        assert len(symptom.quotes) == 3
        assert symptom.low is None or symptom.low <= symptom.effect <= symptom.high


def test_a_quote_shows_the_first_document_and_the_range_of_the_scores():
    (collapse, *_) = symptoms_of(rankings(lambda scores, number, rng: scores * 0.05))
    quote = collapse.quotes[0]
    assert quote.suite == "s"
    assert quote.after.startswith("scores ")
    assert "first, " in quote.before
    assert "document " in quote.before
    assert collapse.sentence.startswith("within lists, 95% of the spread of scores is gone")


def test_symptoms_are_sought_in_what_should_stay():
    evidence = rankings(lambda scores, number, rng: scores + 3, role="learned")
    assert {symptom.unchecked for symptom in symptoms_of(evidence)} == {NOTHING_KEPT}


def test_similarities_have_no_calibration_and_equal_scores_no_spread():
    evidence = rankings(lambda scores, number, rng: scores)
    assert calibration_lost(RankingEvidence(evidence.rankings, logits=False)) == NO_LOGITS
    flat = [
        Ranking("s", "q", "x", "g", ("a", "b", "c", "d"), np.zeros(4, bool), np.zeros(4), np.arange(4.0), (0.0, 0.0))
    ]
    found = symptoms_of(RankingEvidence(flat))
    assert [symptom.name for symptom in found if symptom.unchecked] == [name for name in NAMES if name != NAMES[2]]


def test_effects_are_those_of_their_formulas():
    evidence = rankings(lambda scores, number, rng: scores * 0.5 + rng.normal(0, 0.5, scores.size))
    pairs = [(ranking.before, ranking.after) for ranking in evidence.rankings]
    logs = [math.log(after.std() / before.std()) for before, after in pairs]
    assert score_collapse(evidence).effect == pytest.approx(1 - math.exp(np.mean(logs)))
    moved = np.mean([(after - before).mean() for before, after in pairs])
    spread = np.concatenate([before for before, _ in pairs]).std()
    assert score_drift(evidence).effect == pytest.approx(abs(moved) / spread)
    taus = [stats.kendalltau(before[1:], after[1:]).statistic for before, after in pairs]
    assert negatives_reordered(evidence).effect == pytest.approx(1 - np.mean(taus))
    chances = [[1 / (1 + np.exp(-side)) for side in pair] for pair in pairs]
    wanted = np.arange(12) == 0
    briers = [[((side - wanted) ** 2).mean() for side in pair] for pair in chances]
    assert calibration_lost(evidence).effect == pytest.approx(np.mean([b - a for a, b in briers]))


def test_healthy_models_show_a_false_symptom_in_few_cases():
    """Differences without a mean effect: the two models are exchangeable, and only chance tells them apart."""
    p_values = []
    for seed in range(150):
        evidence = rankings(lambda scores, number, rng: scores, queries=20, seed=seed)
        rng = np.random.default_rng(1_000 + seed)
        p_values.append(mean_and_p(evidence.rankings, rng.normal(0, 1, 20).tolist(), two_sided=True)[1])
    assert np.mean(np.array(p_values) < 0.05) < 0.1


def test_the_interval_is_that_of_the_t_test_if_no_query_depends_on_another():
    evidence = rankings(lambda scores, number, rng: scores, queries=25)
    values = np.random.default_rng(0).normal(1, 2, 25)
    mean, p, low, high = mean_and_p(evidence.rankings, values.tolist())
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (mean, low, high) == pytest.approx((values.mean(), expected.low, expected.high))
    assert 0 < p < 1
