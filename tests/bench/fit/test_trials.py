"""Trials: one text for one candidate, shares of its steps, and outcomes on validation items alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from holdfast.bench.fit.trials import Candidate, evaluate, read_outcome, trial_spec, trials_options
from holdfast.bench.measured.scores import read_scores, write_scores
from holdfast.bench.run.record import RunRecord
from holdfast.core.errors import HoldfastError
from holdfast.probes.changes import changes


class TestCandidate:
    def test_equal_recipes_have_one_text(self):
        texts = ("LoRA() + Train(lr=2e-4, epochs=3)", "Train(epochs=3.0, lr=0.0002) + LoRA(rank=16)", "LoRA()")
        assert len({Candidate.of(text) for text in texts}) == 1
        assert Candidate.of("LoRA()") != Candidate.of("LoRA(rank=8)")

    def test_text_can_be_read_again(self):
        candidate = Candidate.of("LoRA(rank=8) + MaskTheTarget(strength=0.3) + Train(lr=1e-3, batch=4)")
        assert Candidate.of(candidate.text) == candidate
        assert candidate.epochs == 3.0
        assert candidate.train.batch == 4

    def test_plain_training_has_no_methods_and_the_rate_of_full_fine_tuning(self):
        assert Candidate.of("Train()") == Candidate("", "Train(lr=2e-05, epochs=3.0)")

    def test_fidelity_scales_the_epochs_alone(self):
        candidate = Candidate.of("Train(lr=1e-3, epochs=4) + LoRA()")
        assert Candidate.of(candidate.at(0.25)) == Candidate.of("Train(lr=1e-3, epochs=1) + LoRA()")

    def test_candidate_without_steps_is_refused(self):
        with pytest.raises(HoldfastError, match="above 0"):
            Candidate.of("Train(epochs=0)")


class TestOptions:
    def test_short_trials_stop_where_the_budget_is_spent_and_whole_ones_do_as_asked(self, shared):
        candidate = Candidate.of("Train()")
        assert trial_spec(candidate, 0.5, shared()).guard().on_spent == "stop"
        assert trial_spec(candidate, 1.0, shared()).guard().on_spent == "rewind"

    @pytest.mark.parametrize("fidelity", [0.0, 1.5])
    def test_fidelity_is_a_share(self, shared, fidelity):
        with pytest.raises(HoldfastError, match="share"):
            trial_spec(Candidate.of("Train()"), fidelity, shared())

    def test_budget_is_needed(self, shared):
        with pytest.raises(HoldfastError, match="--budget is missing"):
            trial_spec(Candidate.of("Train()"), 1.0, shared(budget={}))

    def test_what_candidates_set_is_refused_and_can_be_left_out(self, shared):
        spec = shared(training={"num_train_epochs": 2, "weight_decay": 0.1})
        with pytest.raises(HoldfastError, match="num_train_epochs"):
            trial_spec(Candidate.of("Train()"), 1.0, spec)
        assert trials_options(spec).training == {"weight_decay": 0.1}


@pytest.fixture(scope="module")
def quiet():
    from rich.console import Console

    return Console(quiet=True)


class TestEvaluate:
    def test_outcome_reads_validation_items_alone(self, shared, quiet):
        spec = shared()
        outcome = evaluate(Candidate.of("Train(lr=1e-3, epochs=1)"), 1.0, spec, cost=0.7, console=quiet)
        assert (outcome.state, outcome.cost, outcome.steps) == ("finished", 0.7, 6)
        folder = Path(outcome.folder)
        scores = read_scores(folder / "scores.jsonl")
        sides = [[s for s in scores[moment] if s.split == "watch"] for moment in ("before", "after")]
        rows = {row.role: row for row in changes(*sides)}
        assert outcome.lost == pytest.approx(rows["retained"].lost)
        assert outcome.learned == pytest.approx(rows["learned"].change)
        low, high = rows["retained"].interval()
        assert outcome.lost_error == pytest.approx((high - low) / 3.92)
        low, high = rows["learned"].interval()
        assert outcome.learned_error == pytest.approx((high - low) / 3.92)
        spoilt = [s.__class__(**{**vars(s), "value": 0.0}) if s.split == "proof" else s for s in scores["after"]]
        write_scores(folder / "scores.jsonl", folder.name, {"before": scores["before"], "after": spoilt})
        assert read_outcome(folder, 0.7) == outcome

    def test_same_trial_is_made_once(self, shared, quiet):
        spec, candidate = shared(), Candidate.of("Train(lr=1e-3, epochs=1)")
        first = evaluate(candidate, 1.0, spec, cost=1.0, console=quiet)
        before = (Path(first.folder) / "result.json").stat().st_mtime_ns
        assert evaluate(candidate, 1.0, spec, cost=1.0, console=quiet) == first
        assert (Path(first.folder) / "result.json").stat().st_mtime_ns == before

    def test_guard_ends_a_short_trial_that_forgets_and_it_costs_less(self, shared, quiet):
        spec = shared(budget={"points": 1, "every": 1})
        outcome = evaluate(Candidate.of("Train(lr=0.1, epochs=8)"), 0.5, spec, cost=2.0, console=quiet)
        assert outcome.state == "pruned"
        assert outcome.used > 1
        assert not outcome.inside
        assert 0 < outcome.cost < 1.0

    def test_trial_that_diverges_is_an_outcome(self, shared, quiet):
        outcome = evaluate(Candidate.of("Train(lr=1e30, clip=0)"), 0.5, shared(), cost=2.0, console=quiet)
        assert (outcome.state, outcome.cost, outcome.learned) == ("failed", 2.0, None)
        assert outcome.why

    def test_suites_without_validation_items_are_refused(self, shared, trial_room, tmp_path, quiet):
        few = tmp_path / "few.jsonl"
        few.write_text("".join((trial_room / "keep.jsonl").read_text().splitlines(keepends=True)[:1]))
        with pytest.raises(HoldfastError, match="No suite of --keep has both"):
            evaluate(Candidate.of("Train()"), 0.5, shared(keep=(str(few),)), cost=1.0, console=quiet)

    def test_short_trials_ask_validation_items_alone_and_whole_ones_all(self, shared, quiet):
        candidate, folders = Candidate.of("Train(lr=1e-4, epochs=1)"), {}
        for fidelity in (0.5, 1.0):
            folders[fidelity] = Path(evaluate(candidate, fidelity, shared(), cost=1.0, console=quiet).folder)
        sides = {
            fidelity: {score.split for scores in read_scores(folder / "scores.jsonl").values() for score in scores}
            for fidelity, folder in folders.items()
        }
        assert sides == {0.5: {"watch"}, 1.0: {"watch", "proof"}}
        records = {fidelity: RunRecord.read(folder) for fidelity, folder in folders.items()}
        assert [records[fidelity].judged_on for fidelity in (0.5, 1.0)] == ["validation items", None]
        half = sum(row.items for row in records[0.5].suites) + sum(row.items for row in records[1.0].suites)
        assert half == len(read_scores(folders[1.0] / "scores.jsonl")["after"])

    def test_answers_and_examples_of_the_base_are_shared(self, shared, tmp_path, quiet):
        common, spec = tmp_path / "shared", shared()
        recipe = "SelfRehearsal(count=6, length=8, form='text', repeat=1.0, similar=1.0)"
        folders = [
            Path(evaluate(Candidate.of(text), 0.5, spec, cost=1.0, shared=common, console=quiet).folder)
            for text in (f"Train(lr=1e-3) + {recipe}", f"Train(lr=1e-4) + {recipe}")
        ]
        assert len([*common.glob("base/*/*.jsonl")]) == 1
        written = [*common.glob("old/*.safetensors")]
        assert len(written) == 1
        rates = [json.loads((folder / "spec.json").read_text())["resolved"]["learning_rate"] for folder in folders]
        assert rates == [1e-3, 1e-4]
        began = written[0].stat().st_mtime_ns
        evaluate(Candidate.of(f"Train(lr=2e-4) + {recipe}"), 0.5, spec, cost=1.0, shared=common, console=quiet)
        assert written[0].stat().st_mtime_ns == began
