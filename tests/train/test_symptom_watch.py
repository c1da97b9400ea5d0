"""The symptoms at looks: which are tested, at what level, once each, and kept in a checkpoint."""

from __future__ import annotations

import random

import pytest

from holdfast.probes.score import Answers, Said, Score
from holdfast.train.guard_state import GuardState, as_bytes, of_bytes
from holdfast.train.symptom_watch import EXACT, Alert, alerts_at
from tests.answer_pairs import text


def answers(looping, n=60):
    rng = random.Random(0)
    same = {"role": "retained", "split": "watch", "unit": "points", "higher_is_better": True, "value": 100.0}
    scores = [Score(**same, suite="s", item=f"i{i}", group=f"i{i}", choices=0) for i in range(n)]
    texts = [text(rng) for _ in range(n)]
    said = [
        Said("s", f"i{i}", "?", texts[i] + " again and again and" * 12 if i < looping else texts[i], "", tokens=9)
        for i in range(n)
    ]
    return Answers(scores, said)


BEFORE = answers(0)


def look(looping, number=1, known=()):
    return [alert.name for alert in alerts_at(40, number, (BEFORE.scores, BEFORE.said), answers(looping), known)]


def test_a_look_names_what_it_is_the_first_to_show():
    assert look(0) == []
    assert look(20) == ["loops"]
    assert look(20, known=["loops"]) == []
    (alert,) = alerts_at(40, 1, (BEFORE.scores, BEFORE.said), answers(20), ())
    assert alert.words().startswith(
        "Step 40: loops (verbosity collapse): 33.3% of 60 answers repeat themselves (base 0"
    )
    assert alert.words().endswith("The guard only warns of symptoms.")


def test_later_looks_need_stronger_evidence():
    assert look(9, number=1) == ["loops"]
    assert look(9, number=30) == []


def test_looks_test_without_draws_and_training_data():
    assert {"loops", "unended answers", "harmful answered", "tool calls lost"} <= set(EXACT)
    assert not {"low diversity", "training form", "copied data", "capability cliff"} & set(EXACT)


def test_a_checkpoint_holds_the_answers_at_the_start_and_the_alerts():
    said = Said("s", "i", "?", "Grüße", "", None, 3, True, ("f",), False)
    state = GuardState(asked=5, said=(said,), alerts=[Alert(40, "loops", "verbosity collapse", 30.0, "33% ...")])
    again = GuardState()
    again.resume(state.tensors())
    assert again.said == state.said
    assert again.alerts == state.alerts
    assert of_bytes(None) == []
    assert of_bytes(as_bytes([said]))[0]["said"] == "Grüße"
    again.resume(GuardState(asked=5).tensors())  # an older checkpoint
    assert again.said == ()


@pytest.mark.parametrize("field", ["said", "alerts"])
def test_a_state_without_them_holds_no_key(field):
    assert field not in GuardState(asked=5).tensors()
