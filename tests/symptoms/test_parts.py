"""Parts of symptoms against independent computations."""

import itertools
import random

import numpy as np
import pytest

from holdfast.data.rows import Row, Turn
from holdfast.probes.score import Answers, Said, Score
from holdfast.symptoms import Evidence
from holdfast.symptoms.diversity import diversity
from holdfast.symptoms.endings import next_turns
from holdfast.symptoms.evidence import evidence_of
from holdfast.symptoms.outputs import outputs_of
from holdfast.symptoms.training_form import Form, features_of
from holdfast.symptoms.training_outputs import inside
from holdfast.symptoms.wording import words_of
from tests.answer_pairs import pairs_of, text


def test_the_likeness_of_answers_is_the_mean_jaccard_over_pairs_of_other_suites():
    pairs = pairs_of(lambda before, rng, i: text(rng) if i % 3 else "The same.", n=24)
    measured = diversity(Evidence(pairs))

    def level(texts):
        sets = []
        for answer in texts:
            words = words_of(answer)
            sets.append({(w,) for w in words} | set(itertools.pairwise(words)))
        values = [
            len(sets[i] & sets[j]) / len(sets[i] | sets[j])
            for i in range(24)
            for j in range(24)
            if pairs[i].suite != pairs[j].suite
        ]
        return np.mean(values)

    assert measured.before == pytest.approx(level([pair.before.text for pair in pairs]))
    assert measured.after == pytest.approx(level([pair.after.text for pair in pairs]))
    assert measured.effect == pytest.approx(measured.after - measured.before)


def test_the_p_value_of_diversity_is_uniform_enough_without_a_change():
    values = []
    for seed in range(60):
        pairs = pairs_of(lambda before, rng, i: text(rng), n=24, seed=seed)
        values.append(diversity(Evidence(pairs)).p)
    assert np.mean(np.array(values) < 0.1) < 0.2
    assert 0.35 < np.mean(values) < 0.65


@pytest.mark.parametrize(
    ("answer", "runs_on"),
    [
        ("Fine.\nUser: And then?", True),
        ("Fine.<|im_start|>user\nAnd then?", True),
        ("Fine.<|start_header_id|>user", True),
        ("Fine.<start_of_turn>user", True),
        ("Fine.<|end|><|user|>And then?", True),
        ("git clone https://<username>:<password>@host", False),
        ("Choose a <user>, a <start_date> and an <end_date>.", False),
    ],
)
def test_a_next_turn_is_a_line_or_a_mark_of_a_template_and_no_placeholder(answer, runs_on):
    """Answers with placeholders such as <username> counted as turns of the user."""
    pairs = pairs_of(lambda before, rng, i: answer, n=8)
    assert (next_turns(Evidence(pairs)).after == 1.0) == runs_on


def test_parts_of_outputs_are_found_as_by_brute_force():
    rng = random.Random(0)
    words = ["red", "blue", "green", "one", "two"]

    def line(most):
        return " ".join(rng.choice(words) for _ in range(rng.randint(1, most)))

    outputs = [line(9) for _ in range(40)]
    answers = [line(6) for _ in range(60)]

    def brute(answer):
        for output in outputs:
            if answer == output:
                return True
            short, long = sorted((answer, output), key=lambda words: len(words.split()))
            if len(short.split()) >= 3 and f" {short} " in f" {long} ":
                return True
        return False

    assert inside(answers, outputs) == {answer for answer in answers if brute(answer)}
    assert inside(["Paris. "], ["paris"]) == {"paris"}


def test_the_form_is_told_by_its_shape_and_not_by_its_words():
    rng = random.Random(0)
    common = frozenset({"intent"})
    taught = [features_of(f'{{"intent": "{rng.choice("abc") * 5}"}}', common) for _ in range(30)]
    base = [features_of(text(rng), common) for _ in range(30)]
    form = Form(taught, base)
    assert form.score(features_of('{"intent": "never_seen"}', common)) > 0
    assert form.score(features_of("Never seen words stand here.", common)) < 0
    assert form.score(frozenset()) == 0.0


def test_the_outputs_of_rows_are_what_is_learned():
    call = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
    rows = [
        Row(prompt="2+2=", completion=" 4 "),
        Row(text="A document."),
        Row(
            turns=(
                Turn("user", "Hi"),
                Turn("assistant", "Not learned", learned=False),
                Turn("user", "Call"),
                Turn("assistant", "", calls=(call,)),
            )
        ),
    ]
    assert outputs_of(rows) == ["4", "A document.", '{"name": "f", "arguments": {"x": 1}}']


def test_evidence_pairs_generated_answers_alone():
    def score(item, choices):
        return Score(
            suite="s",
            role="retained",
            split="proof",
            item=item,
            group="g",
            value=0.0,
            unit="points",
            higher_is_better=True,
            choices=choices,
        )

    kinds = {"written": 0, "chosen": 4, "unknown": None, "sure": None}
    scores = [score(item, choices) for item, choices in kinds.items()]
    before = [Said("s", item, "?", f"b {item}", "", 0.5 if item in ("chosen", "sure") else None) for item in kinds]
    after = [Said("s", item, "?", f"a {item}", "", None, tokens=3, cut=True) for item in kinds]
    evidence = evidence_of(Answers(scores, before), Answers(scores, after[:1] + after[2:]), ["x"])
    assert [(pair.item, pair.before.text, pair.after.cut) for pair in evidence.pairs] == [
        ("written", "b written", True),
        ("unknown", "b unknown", True),
    ]
    assert evidence.pairs[0].cluster == "s g"
    assert evidence.outputs == ["x"]
