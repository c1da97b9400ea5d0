"""A fit of a tiny model: its stages, its ends, and what every option changes."""

import dataclasses
import io
import json
import pickle
import re
import time
from pathlib import Path
from types import SimpleNamespace

import peft
import pytest
from rich.console import Console

import holdfast
from holdfast.bench.fit import fit as fitting
from holdfast.bench.fit import full_run
from holdfast.bench.fit.fit import count_written, fit
from holdfast.bench.fit.fit_inputs import read_fit_inputs
from holdfast.bench.fit.fit_record import FitRecord
from holdfast.bench.fit.full_run import afforded
from holdfast.bench.fit.ledger import Ledger
from holdfast.bench.fit.pilot_record import PilotRecord
from holdfast.bench.fit.price import PlainRun
from holdfast.bench.fit.search import LocalEngine
from holdfast.bench.fit.search_record import SearchRecord
from holdfast.bench.fit.stages import Clock, StageConsole, StageDisplay
from holdfast.bench.fit.trials import Candidate
from holdfast.bench.given.fit_spec import FitSpec
from holdfast.bench.given.loading import load_model, load_tokenizer
from holdfast.bench.given.specs import ReportSpec
from holdfast.bench.machine.progress import Progress
from holdfast.bench.plan.record import TimeRow
from holdfast.bench.run import run as running
from holdfast.bench.run.early_checks import check_early
from holdfast.bench.run.record import RunRecord
from holdfast.cli.main import main
from holdfast.core.errors import HoldfastError
from holdfast.core.mix import Example
from holdfast.report.compare import report
from holdfast.report.finished import finished
from holdfast.report.fit import show
from holdfast.report.page.making import page_of
from tests.bench.heal.test_heal import written


@pytest.fixture(scope="module")
def room(trial_room):
    """The room of the trials, with rows that suffice for a pilot and fewer, old examples, and items already failed."""
    rows = [{"prompt": f"t{n} t{m}", "completion": f"t{n + 1}"} for n in range(20, 42) for m in range(30, 40)]
    written(trial_room / "many.jsonl", rows)
    written(trial_room / "some.jsonl", rows[::5])
    written(trial_room / "ten.jsonl", rows[:100:10])
    written(trial_room / "old.jsonl", [{"text": f"t{n} t{n + 1} t{n + 2} t{n + 3}"} for n in range(20, 50)])
    kept = [json.loads(line) for line in (trial_room / "keep.jsonl").open()]
    hopeless = [{**item, "choices": [item["choices"][1], item["choices"][0], *item["choices"][2:]]} for item in kept]
    written(trial_room / "hopeless.jsonl", hopeless)
    written(trial_room / "few.jsonl", kept[:1])
    return trial_room


def spec(room, out, **changes):
    given = {
        "model": str(room / "base"),
        "data": str(room / ("some.jsonl" if changes.get("pilot") is False else "many.jsonl")),
        "test": str(room / "test.jsonl"),
        "keep": (str(room / "keep.jsonl"),),
        "memory": (f"mine={room}/old.jsonl",),
        "budget": {"points": 30},
        "batch_size": 4,
        "max_length": 32,
        "search": False,
        "out": str(out),
    }
    return FitSpec(**{**given, **changes})


def go(given, console=None):
    return fit(given, console or Console(quiet=True))


def stage(record, name):
    return next(row for row in record.stages if row.name == name)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("fit") / "fit"


@pytest.fixture(scope="module")
def said():
    return io.StringIO()


@pytest.fixture(scope="module")
def done(room, out, said):
    return go(spec(room, out, cost="6x"), Console(file=said, width=80))


def test_every_stage_leaves_its_record_and_the_result_is_that_of_the_final_model(done, out):
    assert [row.name for row in done.stages] == ["plan", "old examples", "pilot", "search", "run", "heal"]
    assert [row.done for row in done.stages][:5] == [True, False, True, False, True]
    assert (out / "plan.json").exists()
    pilot = PilotRecord.read(out)
    assert done.recipe == pilot.recipe
    assert stage(done, "pilot").spent == pytest.approx(pilot.spent)
    assert "mine" in " ".join(rung.recipe for rung in pilot.rungs) or pilot.open
    assert done.verdict.limits == {"points": 30}
    assert done.learned.units
    assert done == FitRecord.read(out)
    assert done.exit_code in (0, 2, 3, 4)
    assert (out / "log.txt").stat().st_size > 0
    result = json.loads((out / "runs").glob("*/result.json").__next__().read_text())
    if not done.healed:
        assert [row["after"] for row in result["suites"]] == [row.after for row in done.suites]


def test_a_fit_has_a_page_of_its_own(done, out):
    parts = page_of(ReportSpec(runs=(str(out),))).parts
    assert [part.kind for part in parts][:2] == ["A fit", "One run"]
    assert [part.folded for part in parts][:2] == [False, True]
    assert done.sentence in parts[0].sentence
    blocks = {section.heading: section.blocks for section in parts[0].sections}
    (stages,) = blocks["Stages"]
    assert [row[0] for row in stages.rows] == [*(row.name for row in done.stages), "all"]
    assert len(blocks["Pilot"][1].rows) == len(PilotRecord.read(out).rungs)
    assert "holdfast fit" in blocks["Run it again"][0].text
    with pytest.raises(HoldfastError, match="holds a fit, not a run: write its page with --html"):
        report(ReportSpec(runs=(str(out),)))


def test_the_cost_is_announced_before_and_kept(done, said):
    text = said.getvalue()
    assert done.cost.spent <= done.cost.allowed == 6.0
    assert done.cost.spent == pytest.approx(sum(row.spent for row in done.stages))
    assert all(row.spent <= row.announced + 1e-9 for row in done.stages)
    announced = text.index("All trainings cost at most 6 of them")
    assert announced < text.index("pilot: up to")
    assert "announced" in done.sentence
    assert "at most 6 were announced" in done.sentence


def test_items_that_can_hardly_prove_the_budget_are_named_before_anything_is_trained(room, tmp_path, said, done):
    assert "can prove a loss of at most" not in said.getvalue()
    (doubt,) = read_fit_inputs(spec(room, tmp_path, budget={"points": 0.1})).doubts
    assert "and the budget allows 0.1: the verdict will likely be 'not enough evidence'" in doubt


def test_progress_begins_at_once_with_the_time_left_and_fits_a_line(done, said):
    lines = said.getvalue().splitlines()
    assert lines[0].startswith("fit: ")
    assert "left in all" in " ".join(lines[:3])
    assert "\x1b" not in said.getvalue()


def test_a_finished_fit_is_read_and_an_interrupted_one_comes_to_the_same_result(room, done, out, monkeypatch):
    given = spec(room, out, cost="6x")
    assert go(given) == done
    calls = []
    monkeypatch.setattr(fitting, "plan", lambda *words: calls.append(words))
    (out / FitRecord.FILE).unlink()
    again = go(given)
    assert not calls, "the plan that is there is read"
    assert (again.suites, again.recipe, again.verdict, again.model) == (
        done.suites,
        done.recipe,
        done.verdict,
        done.model,
    )
    assert again.cost.spent == done.cost.spent
    assert again.seconds > done.seconds, "the time is that of both calls"
    with pytest.raises(HoldfastError, match="holds a fit with another budget; choose another folder"):
        go(spec(room, out, budget={"points": 20}))


def test_ten_rows_have_no_pilot_and_say_so(room, tmp_path):
    record = go(spec(room, tmp_path / "out", data=str(room / "ten.jsonl"), heal=False))
    assert not stage(record, "pilot").done
    assert "a tenth of 10 examples is fewer than 20" in stage(record, "pilot").sentence
    assert record.verdict is not None


def test_a_model_that_forgets_nothing_is_trained_plainly(room, tmp_path, monkeypatch):
    monkeypatch.setattr("holdfast.bench.fit.ladder.full_rate", lambda size: 0.02)
    record = go(spec(room, tmp_path / "out", keep=(str(room / "hopeless.jsonl"),), cost="4x"))
    pilot = PilotRecord.read(tmp_path / "out")
    assert pilot.rungs[0].answers_lost is None
    assert pilot.rungs[0].on_course
    assert len(pilot.rungs) == 1
    assert "Nothing is forgotten" in stage(record, "pilot").sentence
    assert "Rehearsal" not in record.recipe


def test_without_old_examples_the_base_writes_them_once_for_all_runs(room, tmp_path):
    given = spec(room, tmp_path / "out", memory=(), cost="40x", pilot=False, heal=False)
    record = go(given)
    row = stage(record, "old examples")
    assert row.done
    assert row.spent > 0
    old = tmp_path / "out" / "old.jsonl"
    assert row.record == str(old)
    examples = [json.loads(line) for line in old.open()]
    assert examples
    assert all(segment["text"] for example in examples for segment in example["segments"])
    assert "Rehearsal(memory='old'" in record.recipe
    assert "SelfRehearsal" not in record.recipe
    specs = [json.loads(path.read_text()) for path in (tmp_path / "out" / "runs").glob("*/spec.json")]
    assert {tuple(one["memory"]) for one in specs} == {(f"old={old}",)}


def test_a_pilot_and_a_search_that_are_not_wanted_do_not_take_place(room, tmp_path):
    record = go(spec(room, tmp_path / "out", cost="6x", pilot=False, heal=False))
    assert {name: stage(record, name).sentence for name in ("pilot", "search")} == {
        "pilot": "none (--no-pilot).",
        "search": "none (--no-search).",
    }
    assert not (tmp_path / "out" / "pilot.json").exists()
    assert not (tmp_path / "out" / "search.json").exists()


def test_what_is_left_of_the_cost_is_searched_and_the_result_alone_is_pushed(room, tmp_path, monkeypatch):
    file, pushed = io.StringIO(), []
    for module in (fitting, running):
        monkeypatch.setattr(module, "push", lambda model, training: pushed.append(model) if training else None)
    named = {"push_to_hub": True, "hub_model_id": "me/x"}
    options = {"cost": "4x", "pilot": False, "heal": False, "search": True, "budget": {"points": 60}}
    given = spec(room, tmp_path / "out", training=named, **options)
    record = go(given, Console(file=file))
    row = stage(record, "search")
    assert row.done
    assert row.spent <= row.announced <= 4
    assert record.cost.spent <= 4
    searched = SearchRecord.read(tmp_path / "out" / "search.json")
    assert len(searched.trials) > 1
    assert pushed == [Path(record.model)]
    assert record.recipe in {trial.recipe for trial in searched.trials if trial.fidelity == 1.0}
    assert "of 4 plain runs spent" in file.getvalue() or "plain runs spent" in file.getvalue()
    assert not any(stage.name == "run" for stage in record.stages), "the search ends with the full run"
    again = go(given)
    assert again == record


def on_spent(record):
    return RunRecord.read(Path(record.run)).guard.on_spent


def test_a_pilot_waits_for_a_cost_that_pays_for_the_whole_run_too_and_a_guard_leaves_a_run_to_the_healing(
    room, tmp_path, done
):
    record = go(spec(room, tmp_path / "out", cost="1.5x"))
    assert not stage(record, "pilot").done
    assert "a higher --cost pays for both" in stage(record, "pilot").sentence
    assert stage(done, "pilot").done
    assert on_spent(record) == "log"
    kept = go(spec(room, tmp_path / "kept", cost="1.5x", pilot=False, heal=False))
    assert on_spent(kept) == "rewind"
    chosen = go(spec(room, tmp_path / "chosen", cost="1.5x", pilot=False, budget={"points": 30, "on_spent": "stop"}))
    assert on_spent(chosen) == "stop"


def test_the_guard_holds_a_run_that_no_healing_can_hold(room, tmp_path):
    config = peft.LoraConfig(r=4, target_modules=["q_proj", "up_proj"])
    peft.get_peft_model(load_model(str(room / "base")), config).save_pretrained(tmp_path / "adapter")
    load_tokenizer(str(room / "base")).save_pretrained(tmp_path / "adapter")
    given = spec(room, tmp_path / "out", model=str(tmp_path / "adapter"), cost="3x", pilot=False)
    assert on_spent(go(given)) == "rewind"
    whole = read_fit_inputs(spec(room, tmp_path / "out"))
    assert whole.unhealable == ""
    four = dataclasses.replace(whole.plan, config=SimpleNamespace(quantization_config={"bits": 4}))
    assert "is quantised" in dataclasses.replace(whole, plan=four).unhealable


@pytest.mark.parametrize(("adapts", "seconds"), [(False, 60.0), (True, 72.0)])
def test_a_plain_run_trains_all_weights_whatever_was_timed(room, tmp_path, monkeypatch, adapts, seconds):
    timed = f"Train(lr=0.001, epochs=3, batch=4){' + LoRA()' if adapts else ''}"
    row = TimeRow(recipe=timed, steps=2, run_steps=9, seconds_per_thousand=1.0, seconds=60.0)
    asked = dataclasses.replace(spec(room, tmp_path / "out"), model=str(room / "base"))
    made = holdfast.plan(model=asked.model, data=asked.data, steps=False, max_length=32)
    made = dataclasses.replace(made, recipe="Train(lr=0.001, epochs=3, batch=4)", time=(row,))
    monkeypatch.setattr(fitting, "plan", lambda spec, console: made)
    ledger = Ledger(StageDisplay(Console(file=io.StringIO()), Clock()), 3.0, 1.0, 1.0)
    fitting._Fit(read_fit_inputs(asked), tmp_path, ledger, Console(quiet=True))._planned()
    assert ledger.plain_seconds == pytest.approx(seconds)


def test_the_base_writes_what_the_full_run_leaves_cost_for_and_never_too_few():
    assert count_written(0.2, -1.0) == count_written(0.9, 1.0) == 1000
    assert count_written(1.0, 0.5) == 500
    assert count_written(1.0, -1.0) == 250  # for a quarter of a plain run
    assert count_written(9.0, 0.5) == 200


def test_a_search_needs_room_for_two_whole_runs(room, tmp_path):
    given = {"search": True, "pilot": False, "heal": False}
    assert not stage(go(spec(room, tmp_path / "out", cost="2x", **given)), "search").done


def test_a_plan_that_answers_prompts_writes_no_free_text(room, tmp_path, monkeypatch):
    monkeypatch.setattr("holdfast.bench.plan.situation.REAL", 1)
    record = go(spec(room, tmp_path / "out", memory=(), cost="6x", pilot=False, heal=False))
    assert "the base answers prompts" in stage(record, "old examples").sentence
    assert "PromptRehearsal()" in record.recipe
    assert not (tmp_path / "out" / "old.jsonl").exists()


def test_a_run_outside_the_budget_is_healed(room, tmp_path, monkeypatch):
    monkeypatch.setattr("holdfast.train.rates.STUDIED_RATE", 0.05)
    given = spec(room, tmp_path / "out", budget={"points": 12, "on_spent": "log"}, pilot=False, cost="20x")
    record = go(given)
    assert record.used > 1
    assert record.healed
    assert stage(record, "heal").done
    assert "healed-" in record.model
    assert next(row for row in record.suites if row.name == "old").items
    assert "--no-heal" not in stage(record, "heal").sentence
    unhealed = go(dataclasses.replace(given, heal=False))
    assert not unhealed.healed
    assert stage(unhealed, "heal").sentence == "none (--no-heal)."
    assert unhealed.recipe == record.recipe
    assert unhealed.suite("old").lost.points > record.suite("old").lost.points
    assert "forgot" in unhealed.sentence or "open" in unhealed.sentence


def test_a_cost_that_does_not_suffice_is_refused_with_what_would(room, tmp_path):
    with pytest.raises(HoldfastError, match=r"--cost 0.1x does not suffice: .* give --cost [\d.]+x") as caught:
        go(spec(room, tmp_path / "out", cost="0.1x", pilot=False))
    enough = re.search(r"give --cost ([\d.]+)x", str(caught.value))[1]
    assert go(spec(room, tmp_path / "out", cost=f"{enough}x", pilot=False, heal=False)).cost.spent <= float(enough)


def test_a_smaller_cost_shortens_the_run_and_says_so(room, tmp_path):
    record = go(spec(room, tmp_path / "out", cost="1x", pilot=False, heal=False))
    assert record.cost.spent <= 1.0
    assert any("of 3 epochs" in note for note in record.notes)
    plain = PlainRun([Example([1, 2], [-100, 2])] * 16, {}, 3.0, 1, 1)
    whole = Candidate.of("Train(lr=1e-3, epochs=3, batch=1)")
    assert afforded(whole, plain, 1.0) == (whole, "")
    shorter, note = afforded(whole, plain, 0.5)
    assert plain.price(shorter) <= 0.5
    assert shorter.epochs == pytest.approx(1.5, abs=0.05)
    assert "1.5" in note or "1.4" in note


def test_the_seed_changes_the_run(room, tmp_path):
    one, other = (go(spec(room, tmp_path / str(seed), pilot=False, heal=False, seed=seed)) for seed in (0, 1))
    assert one.run != other.run
    assert one.recipe == other.recipe


def test_what_cannot_be_judged_is_refused(room, tmp_path):
    with pytest.raises(HoldfastError, match="No suite to keep has both validation items"):
        go(spec(room, tmp_path / "out", keep=(str(room / "few.jsonl"),)))
    assert not (tmp_path / "out" / "fit-spec.json").exists()
    with pytest.raises(HoldfastError, match="limits none of the measured units"):
        go(spec(room, tmp_path / "out", budget={"nll": 0.1}))
    with pytest.raises(HoldfastError, match="no such file"):
        check_early(spec(room, tmp_path / "out", data="none.jsonl"))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"budget": {}}, "--budget is missing"),
        ({"budget": {"point": 2}}, "Budget has no 'point'"),
        ({"cost": "three"}, "--cost three: give a number of plain runs"),
        ({"cost": "0x"}, "--cost 0x: give a number of plain runs above 0"),
        ({"cost": "infx"}, "--cost infx"),
        ({"engine": "rai"}, "--engine rai: give local, ray, or the address of a Ray cluster"),
        ({"test": None, "held_out": 0.0}, "--test is missing"),
        ({"keep": (), "budget": {"nll": 0.1}}, "--keep is missing"),
    ],
)
def test_bad_options_are_refused_with_a_sentence(room, tmp_path, changes, sentence):
    with pytest.raises(HoldfastError, match=re.escape(sentence)):
        spec(room, tmp_path, **changes)


class FakeRay:
    """Trials of a search in this process, as `RayEngine` makes them on a cluster."""

    slots, addresses = 1, []

    def __init__(self, address, gpus):
        self.addresses.append((address, gpus))

    def submit(self, problem, entry):
        assert problem.isolated
        here = dataclasses.replace(pickle.loads(pickle.dumps(problem)), isolated=False)
        return LocalEngine().submit(here, entry)


def test_the_engine_makes_the_trials_of_the_search(room, tmp_path, monkeypatch):
    monkeypatch.setattr(full_run, "RayEngine", FakeRay)
    given = {"search": True, "pilot": False, "heal": False, "cost": "4x", "engine": "ray"}
    record = go(spec(room, tmp_path / "ray", **given))
    assert FakeRay.addresses == [(None, 0.0)]
    searched = SearchRecord.read(tmp_path / "ray")
    assert len(searched.trials) > 1
    assert [record.run] == [trial.outcome.folder for trial in searched.trials if trial.number == searched.best]


def test_a_cost_is_a_number_with_or_without_an_x(room, tmp_path):
    assert {spec(room, tmp_path, cost=cost).plain_runs() for cost in ("3x", "3", 3, 3.0)} == {3.0}


def test_several_processes_are_refused(room, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(HoldfastError, match="runs in one process"):
        go(spec(room, tmp_path / "out"))


def test_an_occupied_folder_is_refused(room, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("x")
    with pytest.raises(HoldfastError, match="is not the folder of a fit"):
        go(spec(room, tmp_path / "out"))


def test_the_command_shows_the_record_and_ends_with_its_code(room, out, done, capsys):
    words = ["fit", "--model", str(room / "base"), "--data", str(room / "many.jsonl"), "--no-search", "--cost", "6x"]
    words += ["--test", str(room / "test.jsonl"), "--keep", str(room / "keep.jsonl"), "--budget", "points=30"]
    words += ["--memory", f"mine={room}/old.jsonl", "--batch-size", "4", "--max-length", "32", "--out", str(out)]
    assert main(words) == done.exit_code
    text = " ".join(capsys.readouterr().out.split())
    assert " ".join(done.sentence.split()) in text
    assert "Verdict: " in text
    assert main([*words, "--json"]) == done.exit_code
    assert FitRecord.from_dict(json.loads(capsys.readouterr().out)) == FitRecord.read(out)
    assert holdfast.fit is not None
    with pytest.raises(HoldfastError, match="--budget and --reach judge runs, and a fit .* the verdict of its own"):
        finished(ReportSpec(runs=(str(out),), budget={"points": 1}))


def test_the_output_fits_eighty_columns(done):
    file = io.StringIO()
    show(done, Console(file=file, width=80))
    shown = file.getvalue()
    table = shown[shown.index("stage") : shown.index("costs: trainings")]
    assert max(map(len, table.splitlines())) <= 80


def test_a_display_shows_the_progress_and_the_log_keeps_what_runs_print():
    console, log = Console(file=io.StringIO(), width=80), io.StringIO()
    clock = Clock()
    display = StageDisplay(console, clock)
    display.begin("pilot", "two recipes")
    clock.expect(130)
    stages = StageConsole(display, log)
    stages.print("a note of a run")
    with Progress(stages) as progress:
        progress.task("training", 10)
        display._last = 0.0
        progress.task("asking", 5)
    shown = console.file.getvalue()
    assert shown.splitlines()[0] == "pilot: two recipes"
    assert "pilot: asking: 0/5; about 2 min left in all" in shown
    assert "training" not in shown, "lines are at most one in some seconds"
    assert log.getvalue() == "a note of a run\n"
    clock.expect(-1)
    assert clock.words() == "longer than expected"


def test_the_time_left_takes_what_asking_took_in_a_pilot_that_was_made_now():
    clock = Clock()
    ledger = Ledger(
        StageDisplay(Console(file=io.StringIO()), clock), cost=3.0, plain_seconds=10.0, asking_seconds=900.0
    )
    ledger.asked(-2.0, 3)
    assert ledger.asking_seconds == 900.0
    ledger.asked(30.0, 3)
    assert ledger.asking_seconds == 20.0
    ledger.expect(3.0)
    assert clock.end - time.monotonic() == pytest.approx(3 * 10 + 2 * 20, abs=1)
