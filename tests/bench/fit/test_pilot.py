"""The pilot: its ladder, its gate, what it carries over, and a climb on a tiny model."""

import dataclasses
import json

import pytest
from rich.console import Console

from holdfast.bench.fit.ladder import Ladder, Rung, ladder_of
from holdfast.bench.fit.pilot import FELL, GATE, Pilot, carried, choose, judged, training_losses
from holdfast.bench.fit.pilot_record import PilotRecord, PilotRung
from holdfast.bench.fit.price import PlainRun
from holdfast.bench.fit.trials import Candidate
from holdfast.bench.measured.preparation import prepare_data
from holdfast.bench.plan.record import DataRow, ModelRow, NeedRow, PlanRecord
from holdfast.core.budget import Budget
from holdfast.core.errors import HoldfastError
from holdfast.methods.rehearsal.refusal_rehearsal import RefusalRehearsal
from holdfast.recipe import parse
from holdfast.train.settings import train_of
from tests import tiny

NEEDS = ("Train()", "LoRA()", "Holdfast('old')", "Holdfast('old', adapter=True)")


def planned(recipe="Train(lr=0.00025, epochs=3, batch=16) + Holdfast('old')", *, adapter=False, tight=(), chat=False):
    facts = {"rows": 9, "train_rows": 9, "tokens": 9, "learned_tokens": 9, "longest": 9, "median": 9}
    return PlanRecord(
        model=ModelRow(
            name="m",
            architecture="a",
            parameters=2_800_000,
            layers=2,
            width=2,
            vocabulary=9,
            chat=chat,
            is_adapter=adapter,
        ),
        data=DataRow(name="d", **facts, copies=0, alike=0, compared=9, contradictions=0),
        free=10**9,
        where="in memory",
        memory=tuple(NeedRow(recipe=text, bytes=1, trained=1, fits=text not in tight) for text in NEEDS),
        recipe=recipe,
    )


def names(ladder):
    return [rung.name for rung in ladder.rungs]


def test_the_ladder_goes_from_plain_training_to_all_weights_with_old_examples():
    ladder = ladder_of(planned(), ["mine"])
    assert names(ladder) == ["all weights", "LoRA", "LoRA with old examples", "all weights with old examples"]
    assert [rung.plain for rung in ladder.rungs] == [True, False, False, False]
    trains = [train_of(rung.candidate.chain()) for rung in ladder.rungs]
    assert {(t.epochs, t.batch) for t in trains} == {(3.0, 16)}
    assert [t.lr for t in trains] == [2.5e-4, 2.5e-3, 2.5e-3, 2.5e-4]
    assert ["mine" in rung.candidate.text for rung in ladder.rungs] == [False, False, True, True]
    assert ["LoRA" in rung.candidate.recipe for rung in ladder.rungs] == [False, True, True, False]


def test_the_ladder_leaves_out_what_does_not_fit_and_what_a_model_cannot_have():
    tight = ladder_of(planned(tight=("Train()", "Holdfast('old')")), ["old"])
    assert names(tight) == ["LoRA", "LoRA with old examples"]
    assert tight.left_out == (
        "all weights: does not fit into memory.",
        "all weights with old examples: does not fit into memory.",
    )
    assert names(ladder_of(planned(adapter=True), ["old"])) == ["the adapter", "the adapter with old examples"]
    four = ladder_of(planned("Train(lr=1e-4, epochs=3, batch=16) + QLoRA(rank=32, alpha=64) + WSD()"), ["old"])
    assert names(four) == ["LoRA", "LoRA with old examples"]
    assert all("QLoRA(rank=32" in rung.candidate.text for rung in four.rungs)
    wide = ladder_of(planned("Train(lr=1e-4, epochs=1, batch=4) + LoRA(rank=64) + WSD()"), ["old"])
    assert all("rank=64" in rung.candidate.text for rung in wide.rungs if rung.name.startswith("LoRA"))


def test_the_ladder_of_a_chat_model_has_a_rung_with_its_refusals_alone_and_the_others_rehearse_them_too():
    recipe = "Train(lr=1e-5, epochs=3, batch=16) + Holdfast('old', prompts=True)"
    assert "LoRA with refusals" not in names(ladder_of(planned(recipe), ["old"]))
    ladder = ladder_of(planned(recipe, chat=True), ["old"])
    assert names(ladder)[2:] == ["LoRA with refusals", "LoRA with old examples", "all weights with old examples"]
    refusals = [RefusalRehearsal() in parse(rung.candidate.text).parts() for rung in ladder.rungs]
    assert refusals == [False, False, True, True, True]
    assert "Rehearsal('old'" not in ladder.rungs[2].candidate.text


def row(**changes):
    fields = {
        "name": "LoRA",
        "recipe": "Train(lr=0.002, epochs=3.0, batch=16) + LoRA()",
        "learned": 30.0,
        "learned_low": 10.0,
        "lost": 1.0,
        "limit": 2.0,
        "kept_before": 60.0,
        "answers_lost": 0.02,
        "loss_before": 2.0,
        "loss_after": 1.9,
        "why": "",
        "cost": 0.1,
    }
    return PilotRung(**{**fields, **changes})


def test_the_gate_opens_below_five_percent_of_the_kept_score_within_the_budget_and_on_course():
    assert judged(row()).opens
    assert "more than the budget" in judged(row(lost=2.5)).why
    generous = row(limit=50.0, lost=60 * GATE - 0.01)
    assert judged(generous).opens
    assert "5% of the kept score" in judged(dataclasses.replace(generous, lost=60 * GATE)).why
    off = judged(row(learned_low=-1.0))
    assert not off.opens
    assert not off.on_course
    assert "not on course" in off.why
    falling = row(learned_low=-1.0, loss_after=2.0 * (1 - FELL))
    assert judged(falling).on_course
    assert not judged(row(learned_low=None, loss_before=None, loss_after=None)).on_course


def test_plain_training_passes_only_if_nothing_is_lost():
    assert not judged(row(plain=True)).opens
    nothing = judged(row(plain=True, lost=0.0, answers_lost=0.0))
    assert nothing.opens
    assert nothing.why == "it forgets nothing"
    assert judged(row(plain=True, lost=0.0, answers_lost=None, kept_before=0.0)).opens
    assert not judged(row(plain=True, lost=0.0, answers_lost=0.05)).opens, (
        "answers that are lost count, also if as many are gained"
    )
    assert not judged(row(plain=True, lost=0.04, lost_unit="nats", limit=0.1, kept_before=2.0, answers_lost=None)).opens


def test_the_first_rung_that_passes_goes_on_at_its_rate():
    rungs = [judged(row(name="a", lost=9.0)), judged(row(name="b")), judged(row(name="c", lost=0.0))]
    assert choose(rungs)[0].name == "b"
    assert choose(rungs)[1] == 1.0


def test_without_a_rung_that_passes_the_least_loss_on_course_goes_on_at_a_lower_rate():
    lost = [judged(row(name=n, lost=x)) for n, x in (("a", 9.0), ("b", 3.0))]
    plain = judged(row(name="plain", lost=0.5, plain=True))
    off = judged(row(name="off", lost=0.1, learned_low=-1.0))
    chosen, rate = choose([plain, *lost, off])
    assert (chosen.name, rate) == ("b", pytest.approx((chosen.limit / 3.0) ** 0.5))
    assert choose([lost[0]])[1] == 0.5, "at most half as fast"
    only_off = choose([judged(row(name="x", lost=0.1, learned_low=-1.0))])
    assert (only_off[0].name, only_off[1]) == ("x", 1.0)
    whole = carried(Candidate.of(chosen.recipe), rate)
    assert train_of(whole.chain()).lr == pytest.approx(0.002 * rate, rel=1e-3)
    assert (train_of(whole.chain()).epochs, train_of(whole.chain()).batch) == (3.0, 16)
    assert whole.recipe == Candidate.of(chosen.recipe).recipe


def test_training_losses_are_those_of_the_first_and_last_quarter(tmp_path):
    losses = [8.0, 6.0, 4.0, 3.0, 2.0, 2.0, 1.0, 0.5]
    rows = [{"step": i, "loss": 99.0, "task_loss": loss} for i, loss in enumerate(losses, 1)]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert training_losses(tmp_path) == (7.0, 0.75)
    assert training_losses(tmp_path / "none") == (None, None)


@pytest.fixture
def pilot(shared, tmp_path):
    """Makes a pilot on the tiny model, whose ladder has the given recipes."""

    def make(*recipes, **changes):
        spec = dataclasses.replace(shared(), held_out=0.0, **changes)
        data = prepare_data(spec, tiny.tokenizer())
        rungs = tuple(Rung(f"rung {i}", Candidate.of(text), plain=i == 0) for i, text in enumerate(recipes))
        plain = PlainRun(data.train, {}, 4.0, 4, 4)
        log = Console(quiet=True)
        return Pilot(spec, Budget(points=20), plain, Ladder(rungs), tmp_path / "base", tmp_path / "fit", log)

    return make


WILD, CALM = "Train(lr=0.3, epochs=4, batch=4)", "Train(lr=1e-7, epochs=4, batch=4)"


def test_a_climb_stops_at_the_first_rung_that_passes_or_takes_the_calmest(pilot, tmp_path):
    asked = pilot(WILD, WILD, CALM)
    record = asked.climb()
    assert [rung.opens for rung in record.rungs] == [False, False, False]
    assert record.announced == pytest.approx(0.3)
    assert record.spent == pytest.approx(record.announced)
    assert not record.open
    assert record.rungs[0].lost > 20
    assert record.rungs[2].lost == 0.0
    assert record.rungs[2].answers_lost == 0.0
    assert PilotRecord.read(tmp_path / "fit") == record
    assert {score["split"] for score in _scores(tmp_path)} == {"watch"}, "a pilot reads no test item"


def _scores(tmp_path):
    for path in (tmp_path / "fit" / "pilot").glob("*/scores.jsonl"):
        yield from map(json.loads, path.open())


def test_a_finished_rung_is_read_and_a_failed_one_does_not_end_the_pilot(pilot, tmp_path, monkeypatch):
    asked = pilot(CALM, "Train(lr=1e30, epochs=4, batch=4)", CALM)
    record = asked.climb()
    assert record.rungs[1].lost is None
    assert record.rungs[1].why.startswith("failed: ")
    assert len(record.rungs) == 3
    (tmp_path / "fit" / PilotRecord.FILE).unlink()
    first = tmp_path / "fit" / "pilot" / "rung-0" / "result.json"
    stamp = first.stat().st_mtime_ns
    again = asked.climb()
    assert first.stat().st_mtime_ns == stamp, "what an interrupted pilot has finished stays"
    assert [rung.lost for rung in again.rungs] == [rung.lost for rung in record.rungs]


def test_a_pilot_whose_trials_all_fail_says_why(pilot):
    with pytest.raises(HoldfastError, match="Every trial of the pilot failed; the last one because of"):
        pilot("Train(lr=1e30, epochs=4, batch=4)").climb()
