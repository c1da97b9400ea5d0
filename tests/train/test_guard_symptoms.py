"""A guard that sees a symptom: it warns once, acts no more than its budget says, and remembers over a checkpoint."""

from __future__ import annotations

import logging

import pytest

from holdfast.bench.run.record import GuardRow
from holdfast.probes.score import Answers, Score
from holdfast.train import guard as guard_module
from holdfast.train import looks as looks_module
from tests.train.test_guard import KEPT, trainer_of
from tests.train.test_symptom_watch import answers
from tests.train.watching import watching

TEXT = Score(
    suite="texts", role="retained", split="watch", item="t", group="t", value=10.0, weight=10.0, unit="nats",
    higher_is_better=False,
)  # fmt: skip


@pytest.fixture
def looping(monkeypatch):
    """Puts a script in the place of what is asked: the number of looping answers at the start and at each look."""

    def script(*counts):
        rest = list(counts)

        def asked(self, suites):
            if not suites:
                return Answers()
            made = answers(rest.pop(0))
            return Answers([TEXT, *made.scores], made.said)

        monkeypatch.setattr(looks_module.Asking, "_asked_of", asked)
        return rest

    return script


def symptoms_in(caplog):
    return [record.getMessage() for record in caplog.records if "repeat themselves" in record.getMessage()]


def test_it_warns_at_the_first_look_that_shows_a_symptom_and_trains_on(tmp_path, looping, caplog):
    looping(0, 0, 30, *[40] * 8)
    trainer = trainer_of(tmp_path, **watching(KEPT, nll=0.5, every=1, on_spent="stop"))
    with caplog.at_level(logging.WARNING, "holdfast"):
        trainer.train()
    assert trainer.state.global_step == 10
    (words,) = symptoms_in(caplog)
    assert words.startswith("Step 2: loops (verbosity collapse): 50.0% of 60 answers repeat themselves (base 0.0%).")
    summary = trainer.holdfast_guard.summary()
    row = GuardRow.from_dict({**summary, "watched": []})
    assert [(alert.step, alert.name, alert.effect) for alert in row.alerts] == [(2, "loops", pytest.approx(50.0))]


def test_a_resumed_run_compares_with_the_start_and_does_not_warn_again(tmp_path, looping, caplog):
    rest = looping(0, 0, 30, 30, 30, 30, 30)
    first = trainer_of(tmp_path, **watching(KEPT, nll=0.5, every=1), save_strategy="steps", save_steps=5, max_steps=5)
    first.train()
    caplog.clear()
    rest[:] = [40] * 5
    second = trainer_of(tmp_path, **watching(KEPT, nll=0.5, every=1), save_strategy="no")
    with caplog.at_level(logging.WARNING, "holdfast"):
        second.train(resume_from_checkpoint=True)
    assert symptoms_in(caplog) == []
    assert [alert["step"] for alert in second.holdfast_guard.summary()["alerts"]] == [2]


def test_a_test_that_fails_is_named_and_training_goes_on(tmp_path, looping, monkeypatch, caplog):
    def fails(*given):
        raise RuntimeError("out of words")

    looping(*[0] * 11)
    monkeypatch.setattr(guard_module, "alerts_at", fails)
    trainer = trainer_of(tmp_path, **watching(KEPT, nll=0.5, every=5))
    with caplog.at_level(logging.WARNING, "holdfast"):
        trainer.train()
    assert "could not test symptoms (out of words); training continues" in caplog.text
    assert trainer.state.global_step == 10
    assert "alerts" not in trainer.holdfast_guard.summary()
