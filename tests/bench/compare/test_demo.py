"""The demo: both recipes run on the same base and data, and what they learned and lost is told apart."""

from __future__ import annotations

import dataclasses
import io
import os
import re
from pathlib import Path

import pytest
from rich.console import Console

from holdfast.bench.compare import demo as module
from holdfast.bench.compare.worker_pool import WorkerPool
from holdfast.bench.given.specs import RunSpec
from holdfast.bench.machine.files import write_json, write_jsonl
from holdfast.core.errors import HoldfastError
from holdfast.data.examples import read
from holdfast.methods.holdfast import Holdfast, short
from holdfast.methods.schedules.cosine import Cosine
from holdfast.methods.schedules.train import Train
from holdfast.probes.sources import items_of
from holdfast.recipe import parse
from holdfast.report.demo import _minutes, show

ROOT = Path(__file__).parents[3]
NAMES = list(module.RECIPES)


class Made:
    """Stands in for the processes that make runs: writes what a run would leave, and says what is told it."""

    fails = ""

    def __init__(self, size, threads=None):
        self.asked, self.size, self.threads = [], size, threads
        Made.last = self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def first(self, job):
        self.asked.append(job)
        return {}

    def all(self, jobs):
        for name, job in jobs:
            self.asked.append(job)
            if name == Made.fails:
                yield (
                    name,
                    {"error": "The process was killed, most likely because memory ran out.", "kind": "crash"},
                    1.0,
                )
                continue
            leave(RunSpec.from_dict(job["spec"]), plain=name == "plain")
            yield name, {}, 1.0


def leave(spec, *, plain):
    from holdfast.bench.run.folder import begin_folder, folder_of

    folder = folder_of(spec)
    begin_folder(folder, spec, parse(spec.recipe), {})
    row = {"unit": "points", "documents": 9, "items": 9, "low": -9.0, "high": 9.0}
    suites = [
        {"name": "task", "role": "learned", "before": 3.0, "after": 90.0, "change": 87.0},
        {"name": "facts", "role": "retained", "before": 99.0, "after": 59.0, "change": -40.0},
        {"name": "sums", "role": "retained", "before": 90.0, "after": 80.0, "change": -10.0},
        {"name": "text", "role": "retained", "before": 0.7, "after": 0.9, "change": 0.2, "unit": "nats"},
    ]
    suites = [{**row, **suite} for suite in suites]
    after = 0.0 if plain else 100.0
    scores, said = [], []
    for suite, item in (("facts", "facts-1"), ("sums", "sums-1")):
        for moment, value in (("before", 100.0), ("after", after)):
            scores.append(
                {"run": spec.name, "role": "retained", "unit": "points", "suite": suite, "item": item, "weight": 1.0}
                | {"moment": moment, "value": value, "split": "proof", "group": item, "higher_is_better": True}
            )
            text = f"{moment} {spec.name}"
            said.append({"moment": moment, "suite": suite, "item": item, "asked": f"Ask {item}?", "said": text})
    write_jsonl(folder / "scores.jsonl", scores)
    write_jsonl(folder / "answers.jsonl", said)
    cost = {"device": "cpu", "seconds": 9.0, "cpu": 20.0 if plain else 50.0}
    about = {"seconds": {"training": 9.0, "all": 9.0}, "steps": 1, "trained_parameters": 1, "parameters": 1}
    write_json(folder / "result.json", {"suites": suites, "cost": cost, **about})


@pytest.fixture
def made(monkeypatch):
    monkeypatch.setattr(module, "WorkerPool", Made)
    monkeypatch.setattr(Made, "fails", "")
    return Made


def text_of(tmp_path, width=80):
    text = io.StringIO()
    show(module.demo(str(tmp_path), console=Console(file=io.StringIO())), Console(file=text, width=width))
    return text.getvalue()


def test_the_recipes_can_be_read_and_are_plain_training_and_holdfast_with_old_documents():
    plain, held = (parse(recipe).parts() for recipe in module.RECIPES.values())
    assert {type(method) for method in plain} == {Train, Cosine}
    whole = short(held)[0]
    assert isinstance(whole, Holdfast)
    assert whole.memory.startswith("ground:")
    settings = {dataclasses.replace(parts[0], lr=None) for parts in (plain, held)}
    assert len(settings) == 1, "they differ in more than the rate"


def test_both_runs_share_base_data_and_seed_and_the_base_is_asked_once(made, tmp_path):
    done = module.demo(str(tmp_path), seed=3, console=Console(file=io.StringIO()))
    assert list(done.runs) == ["plain", "held"]
    base, *jobs = made.last.asked
    specs = [RunSpec.from_dict(job["spec"]) for job in jobs]
    assert base["kind"] == "base"
    assert {job["bases"] for job in (base, *jobs)} == {base["bases"]}
    plain = specs[0]
    assert {(run.model, run.data, run.test, run.keep, run.seed) for run in specs} == {
        ("ground:base", plain.data, plain.test, plain.keep, 3)
    }
    assert len(read(plain.data)) > 500
    assert len(items_of(plain.test)) >= 200
    asked = [item.suite for source in plain.keep for item in items_of(source)]
    assert min(asked.count(suite) for suite in ("facts", "sums", "refuse")) >= 200


def test_each_process_computes_with_one_thread(made, tmp_path):
    module.demo(str(tmp_path), console=Console(file=io.StringIO()))
    assert (made.last.size, made.last.threads) == (2, 1)
    assert re.search(r"^demo: .*\n\t@OMP_NUM_THREADS=1 .*holdfast demo", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_a_crew_with_a_number_of_threads_gives_it_to_its_processes(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with WorkerPool(2, threads=1) as crew:
        assert [member.env["OMP_NUM_THREADS"] for member in crew.members] == ["1", "1"]


def test_it_announces_its_duration_and_says_the_time_left(made, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_processors", lambda: 2)
    said = io.StringIO()
    module.demo(str(tmp_path), console=Console(file=said, width=200))
    first, asking, training = said.getvalue().splitlines()
    assert re.match(r"The demo takes about \d minutes on two idle cores\. .*logs", first)
    assert re.fullmatch(r"asking the base what it knows: about \d min left", asking)
    assert training.startswith("training plain and held, and asking again: ")
    one, two = (re.search(r"about (\d+) min", module._announced(cores))[1] for cores in (1, 2))
    assert int(one) > int(two)


def test_the_time_left_is_said_in_words_that_fit():
    said = [module.time_left(seconds) for seconds in (200, 90, 89, 41, 4, -11)]
    assert said[:4] == ["about 3 min left", "about 2 min left", "about 90 s left", "about 50 s left"]
    assert said[4] == "nearly done"
    assert "other work" in said[5]


def test_given_again_it_reads_what_is_finished_and_says_so(made, tmp_path):
    module.demo(str(tmp_path), console=Console(file=io.StringIO()))
    said = io.StringIO()
    done = module.demo(str(tmp_path), console=Console(file=said, width=200))
    assert said.getvalue() == f"These runs are already finished; delete {tmp_path} to run them again.\n"
    assert done.seconds is None
    assert list(done.runs) == NAMES


def test_a_run_that_fails_is_named_with_its_log(made, tmp_path, monkeypatch):
    monkeypatch.setattr(Made, "fails", "held")
    with pytest.raises(HoldfastError, match=r"^held: The process was killed, .*; its log is .*held-seed0\.txt\.$"):
        module.demo(str(tmp_path), console=Console(file=io.StringIO()))


def test_sentences_are_set_within_the_width_of_the_terminal(made, tmp_path):
    for width in (60, 80):
        said = text_of(tmp_path, width).split("For example")[0].split("percent, before and after")[1]
        assert max(map(len, said.splitlines())) <= width
        assert "held: Verdict: " in said


def test_the_table_and_its_reading_say_learned_lost_and_at_what_cost(made, tmp_path):
    lines = text_of(tmp_path, width=200).splitlines()
    assert any("new people (learned)" in line and "90.0 (+87.0)" in line for line in lines)
    assert any(line.startswith(" facts") and "59.0 (-40.0)" in line for line in lines)
    assert not any(line.startswith(" text") for line in lines)
    plain = next(line for line in lines if line.startswith("plain") and "knows 90%" in line)
    held = next(line for line in lines if line.startswith("held") and "knows 90%" in line)
    assert "lost 25.0 points" in plain
    assert "(40 on the worst suite)" in plain
    assert held.endswith("; 2.5 times the work.")
    assert [line for line in lines if line.startswith(("plain: Verdict: ", "held: Verdict: "))]


def test_answers_that_only_plain_training_lost_are_shown(made, tmp_path):
    said = text_of(tmp_path)
    assert "facts: Ask facts-1?" in said
    assert "plain: after plain-seed0" in said
    assert "held:  after held-seed0" in said


@pytest.mark.parametrize(
    ("seconds", "words"), [(42.4, "42 s"), (59.6, "1 min 0 s"), (237.0, "3 min 57 s"), (250.2, "4 min 10 s")]
)
def test_the_time_it_took_is_told_in_whole_minutes_and_the_rest(seconds, words):
    assert _minutes(seconds) == words


def test_the_readme_shows_the_recipes_of_the_demo():
    section = (ROOT / "README.md").read_text().split("## Sixty seconds")[1].split("\n## ")[0]
    for name, recipe in module.RECIPES.items():
        assert f"{name:6} {recipe}" in section
    assert "held: Verdict: kept" in section
    assert "plain: Verdict: forgot" in section


@pytest.mark.slow
@pytest.mark.skipif("HOLDFAST_DEMO" not in os.environ, reason="takes minutes of two cores: HOLDFAST_DEMO=1")
def test_the_held_model_is_kept_and_the_plain_one_forgot(tmp_path):
    done = module.demo(str(tmp_path), console=Console(quiet=True))
    assert {name: run.record.verdict.word for name, run in done.runs.items()} == {
        "plain": "forgot",
        "held": "kept",
    }
