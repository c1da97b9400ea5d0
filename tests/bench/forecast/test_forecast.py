"""Short runs and forecasts on a tiny model: steps and rates of the run, order, what is refused; and the command."""

from __future__ import annotations

import dataclasses
import io
import json
import re

import pytest
from rich.console import Console

from holdfast.bench.forecast import forecast as module
from holdfast.bench.forecast import plan as planning
from holdfast.bench.forecast.features import FEATURES, features_of
from holdfast.bench.forecast.forecast import forecast, forecasts, ranked
from holdfast.bench.forecast.looked import SUITE_ITEMS, Reader, documents_of
from holdfast.bench.forecast.short_run import TooFewSteps, _with_few_written, run_shortly
from holdfast.bench.given.loading import load_model
from holdfast.bench.given.specs import PlanSpec, RunSpec
from holdfast.bench.machine.progress import Progress
from holdfast.bench.plan.facts import read_plan_inputs
from holdfast.bench.plan.record import ForecastRow, IntervalRow, PlanRecord
from holdfast.bench.run.arguments import training_arguments
from holdfast.bench.run.run import train
from holdfast.bench.run.training import StepLog
from holdfast.cli.main import main
from holdfast.core.errors import HoldfastError
from holdfast.methods.rehearsal.self_rehearsal import SelfRehearsal
from holdfast.recipe import parse

QUIET = Console(file=io.StringIO())
TRAIN = "Train(lr=0.01, epochs=8, batch=4)"


def items(path, suite, count, start=20):
    rows = [
        {
            "id": f"{suite}{i}",
            "suite": suite,
            "prompt": f"t{start + i} t{start + 1}",
            "answer": f"t{start + i + 2}",
            "choices": [f"t{start + i + 2}", "t3"],
        }
        for i in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture(scope="module")
def spec(room, tmp_path_factory):
    """A run on twenty rows that keeps two suites of questions, and has questions about its task."""
    folder = tmp_path_factory.mktemp("forecast")
    keep = items(folder / "one.jsonl", "one", 24), items(folder / "two.jsonl", "two", 20, start=30)
    return RunSpec(
        model=str(room / "model"), data=str(room / "facts.jsonl"), keep=keep, max_length=64, batch_size=4,
        test=items(folder / "test.jsonl", "task", 12, start=40), held_out=0.0, out=str(folder / "runs"),
        memory=(f"old={room / 'old.jsonl'}",), recipe=TRAIN,
    )  # fmt: skip


@pytest.fixture(scope="module")
def inputs(spec):
    return read_plan_inputs(spec)


@pytest.fixture(scope="module")
def reader(inputs):
    return Reader(load_model(inputs.run.model), inputs)


def test_what_is_read_are_rows_of_the_task_and_validation_items_alone(inputs):
    parts = [tuple(example.origin.split("\n")[:2]) for example in documents_of(inputs)]
    watched = {suite.name: len(suite.side("watch").items) for suite in inputs.data.suites if suite.role == "retained"}
    assert {name: parts.count(("kept", name)) for name in watched} == {
        name: min(SUITE_ITEMS, count) for name, count in watched.items()
    }
    assert parts.count(("answers", "")) == parts.count(("prompts", "")) == len(inputs.data.train)


@pytest.mark.parametrize("more", ["", " + Cosine()", " + WSD()", " + Finch()", " + LoRA() + LayerwiseDecay(decay=0.5)"])
def test_its_learning_rates_are_those_of_the_run(inputs, reader, tmp_path, monkeypatch, more):
    rates, log = [], StepLog.on_log

    def noted(self, args, state, control, logs=None, **kwargs):
        if "learning_rate" in logs:
            rates.append(logs["learning_rate"])
        log(self, args, state, control, logs=logs, **kwargs)

    monkeypatch.setattr(StepLog, "on_log", noted)
    short = run_shortly(inputs, TRAIN + more, reader, tmp_path, steps=6)
    train(dataclasses.replace(inputs.run, recipe=TRAIN + more, name="whole", out=str(tmp_path), memory=()))
    assert short.run_steps == len(rates) == 40
    if "Finch" in more:  # its rate follows the loss, which nobody knows ahead
        assert short.run_rates > short.rates > 0
        return
    times = 2.0 if "LayerwiseDecay" in more else 1.0  # the trainer logs the group with the lowest rate first
    assert short.rates == pytest.approx(times * sum(rates[:6]), rel=1e-6)
    assert short.run_rates == pytest.approx(times * sum(rates), rel=1e-6)


def test_its_steps_move_the_model_more_at_a_higher_rate(inputs, reader, tmp_path):
    low, high = (
        run_shortly(inputs, f"Train(lr={rate}, epochs=8, batch=4)", reader, tmp_path, steps=6) for rate in (1e-4, 1e-2)
    )
    assert features_of(low).keys() == FEATURES.keys()
    for name in ("drift on what is kept", "drift of the worst suite", "drift on task prompts", "change of states"):
        assert features_of(low)[name] < features_of(high)[name]
    assert low.reading.answers.after > high.reading.answers.after


def test_what_a_recipe_is_shows_in_the_features(inputs, reader, tmp_path):
    held = run_shortly(
        inputs, TRAIN + " + LoRA() + BaseKL(on='memory') + Rehearsal('old', ratio=0.25)", reader, tmp_path, steps=3
    )
    plain = run_shortly(inputs, TRAIN, reader, tmp_path, steps=3)
    names = ("old share", "held", "adapter")
    assert [features_of(held)[name] for name in names] == [0.25, 1.0, 1.0]
    assert [features_of(plain)[name] for name in names] == [0.0, 0.0, 0.0]
    assert held.run_steps > plain.run_steps
    assert held.trained < plain.trained == 1.0


def test_the_base_writes_no_more_than_the_steps_need(inputs, tmp_path):
    recipe = parse(TRAIN + " + SelfRehearsal(count=1000)")
    arguments = training_arguments(inputs.run, recipe, tmp_path)
    counts = []
    for steps in (3, 30):
        few = _with_few_written(recipe, inputs, arguments, steps)
        (writer,) = (part for part in few.parts() if isinstance(part, SelfRehearsal))
        counts.append(writer.count)
    assert 1 <= counts[0] < counts[1] < 1000
    assert repr(_with_few_written(parse(TRAIN), inputs, arguments, 3)) == repr(parse(TRAIN))


def test_a_run_that_is_too_short_is_refused(inputs, reader, tmp_path):
    with pytest.raises(HoldfastError, match="its run has 5 steps, and a forecast reads the first 30"):
        run_shortly(inputs, "Train(lr=0.01, epochs=1, batch=4)", reader, tmp_path)


def test_forecasts_are_ordered_and_state_their_cost(inputs):
    recipes = [f"Train(lr={rate}, epochs=8, batch=4)" for rate in (0.1, 1e-4)]
    with Progress(QUIET) as progress:
        record = forecasts(inputs, recipes, progress, points=2.0, plain=recipes[1])
    assert [row.recipe for row in record.rows] == recipes[::-1]
    for row in record.rows:
        assert row.lost.low <= row.lost.value <= row.lost.high
        assert {suite.name for suite in row.suites} == {"one", "two"}
        assert row.first_to_go[0] == max(row.suites, key=lambda suite: suite.fall).name
        assert 0 <= row.learned.value <= 100
        assert row.beyond[0].endswith("(fit: 2.8M)")
    assert record.plain == recipes[1]
    assert record.cost == pytest.approx(record.seconds / record.plain_seconds, rel=0.05)
    assert record.cost > sum(row.cost for row in record.rows)


def test_the_twin_for_searches_gives_rows(spec):
    rows = forecast(spec, [TRAIN], points=2.0, console=QUIET)
    assert [row.recipe for row in rows] == [TRAIN]


def test_nothing_to_forecast_and_nothing_that_counts_are_refused(inputs, spec, room):
    with Progress(QUIET) as progress:
        with pytest.raises(HoldfastError, match="needs a recipe"):
            forecasts(inputs, [], progress)
        texts = read_plan_inputs(dataclasses.replace(spec, keep=(str(room / "texts.txt"),)))
        with pytest.raises(HoldfastError, match="nothing that is kept has questions"):
            forecasts(texts, [TRAIN], progress)
        with pytest.raises(HoldfastError, match="LoRa"):
            forecasts(inputs, ["LoRa()"], progress)


def test_without_questions_about_the_task_learning_is_absent(inputs, spec):
    nothing = read_plan_inputs(dataclasses.replace(spec, test=None))
    with Progress(QUIET) as progress:
        (row,) = forecasts(nothing, [TRAIN], progress).rows
    assert row.learned is None
    assert row.gain_nats > 0


def rows_of(**cases):
    def row(recipe, learned, lost, gain=0.0):
        ends = {name: None if v is None else IntervalRow(value=v, low=v, high=v) for name, v in
                {"learned": learned, "lost": lost, "worst": lost}.items()}  # fmt: skip
        return ForecastRow(recipe=recipe, **ends, drift_nats=0.1, gain_nats=gain, run_steps=60, seconds=1.0, cost=0.1)

    return [row(name, *values) for name, values in cases.items()]


@pytest.mark.parametrize(
    ("cases", "points", "order"),
    [
        ({"a": (50.0, 1.0), "b": (90.0, 1.5), "c": (99.0, 3.0), "d": (10.0, 2.5)}, 2.0, "badc"),
        ({"a": (50.0, 1.0), "b": (90.0, 30.0), "c": (99.0, 3.0)}, None, "cba"),
        ({"a": (None, 1.0, 0.2), "b": (None, 1.5, 0.9), "c": (None, 5.0, 2.0)}, 2.0, "bac"),
        ({"a": (None, 1.0, 0.2), "b": (None, 0.5, 0.9)}, None, "ba"),
    ],
)
def test_the_order(cases, points, order):
    assert "".join(row.recipe for row in ranked(rows_of(**cases), points)) == order


@pytest.fixture
def base_rows(tmp_path):
    path = tmp_path / "new.jsonl"
    pairs = [(f"Who is number {number}?", f"It is {name}.") for number, name in enumerate("ABCDEFGHIJKLMN")]
    path.write_text("".join(json.dumps({"prompt": p, "completion": c}) + "\n" for p, c in pairs))
    return str(path)


def test_the_command(base_rows, tmp_path, capsys):
    words = ["plan", "--model", "ground:base", "--data", base_rows, "--keep", "ground:facts/cut", "--no-steps"]
    assert (
        main([*words, "--forecast", "--recipes", "FreezeBottom()", "--budget", "points=2", "--out", str(tmp_path)]) == 0
    )
    shown = capsys.readouterr().out
    record = PlanRecord.read(tmp_path)
    assert {row.recipe.partition(" + ")[2] for row in record.forecast.rows} == {"", "FreezeBottom()"}
    assert record.forecast.points == 2
    assert "Forecast from 30 steps" in shown
    assert "2 points allowed" in shown
    assert "No questions measure learning" in shown
    assert all(len(line) <= 80 for line in shown.split("\n"))


def test_the_options_of_a_forecast_fit_together(base_rows):
    with pytest.raises(HoldfastError, match="add --forecast"):
        PlanSpec(model="ground:base", data=base_rows, recipes=("LoRA()",))
    with pytest.raises(HoldfastError, match="--forecast trains a model"):
        PlanSpec(check="run.yaml", forecast=True)
    assert PlanSpec(model="ground:base", data=base_rows, forecast=True).keep
    assert not PlanSpec(model="ground:base", data=base_rows).keep


def test_without_recipes_four_are_forecast_and_what_does_not_fit_is_left_out(monkeypatch, base_rows):
    asked = []

    def noted(inputs, recipes, progress, **options):
        asked.append((recipes, options["plain"]))

    monkeypatch.setattr(planning, "forecasts", noted)
    spec = PlanSpec(model="ground:base", data=base_rows, keep=("ground:facts/cut",), forecast=True, steps=False)
    planning.plan(spec, QUIET)
    recipes, plain = asked[0]
    assert recipes[0] == plain
    assert repr(parse(plain)) == repr(parse("Train(lr=0.00025, epochs=3, batch=1)"))
    assert len(recipes) == 4
    assert any("LoRA" in text and "lr=0.0025" in text for text in recipes)
    monkeypatch.setattr(planning, "free_memory", lambda: (1, "in memory"))
    with pytest.raises(HoldfastError, match="None of 4 recipes fits"):
        planning.plan(spec, QUIET)


def test_the_validation_side_alone_answers_for_the_base(inputs):
    suite = next(suite for suite in inputs.data.suites if suite.role == "learned")
    side = module._validation(suite)
    assert {item.split for item in side.items} == {"watch"}
    assert 0 < len(side.items) < len(suite.items)


def test_a_run_of_few_steps_has_no_forecast_and_the_others_keep_theirs(inputs):
    short, notes = "Train(lr=1e-3, epochs=1, batch=1000)", list[str]()
    with Progress(QUIET) as progress:
        (row,) = forecasts(inputs, [short, TRAIN], progress, notes=notes).rows
        assert row.recipe == TRAIN
        (note,) = notes
        assert re.fullmatch(r"Not forecast: Train\(.*batch=1000\).*: its run has 1 steps?, and .*", note)
        with pytest.raises(TooFewSteps):
            forecasts(inputs, [short, TRAIN], progress)
        with pytest.raises(TooFewSteps):
            forecasts(inputs, [short], progress, notes=notes)


def test_a_plan_stands_without_its_forecasts(monkeypatch, base_rows):
    def refuse(*args, **options):
        raise TooFewSteps("its run has 9 steps")

    monkeypatch.setattr(planning, "forecasts", refuse)
    spec = PlanSpec(model="ground:base", data=base_rows, keep=("ground:facts/cut",), forecast=True, steps=False)
    record = planning.plan(spec, QUIET)
    assert record.forecast is None
    assert "Not forecast: its run has 9 steps" in record.notes
