"""A comparison from its words to its folders: shared trainings, one look at the base, crashes, interruptions."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import safetensors.torch
import torch
from rich.console import Console

from holdfast.bench.compare import worker_pool
from holdfast.bench.compare.compare import compare
from holdfast.bench.compare.plan import plan
from holdfast.bench.compare.worker import run_job
from holdfast.bench.given.specs import CompareSpec, RunSpec
from holdfast.bench.machine.files import read_jsonl
from holdfast.bench.measured.scores import read_scores
from holdfast.bench.run.run import train
from holdfast.core.errors import HoldfastError

SETTINGS = "Train(lr=0.01, epochs=1)"


@pytest.fixture
def asked(room, tmp_path):
    def make(*recipes, **changes):
        fields = {"model": "model", "data": "facts.jsonl", "test": "test.jsonl", "keep": ("texts.txt",), **changes}
        for name in ("model", "data", "test"):
            fields[name] = str(room / fields[name])
        fields["keep"] = tuple(str(room / name) for name in fields["keep"])
        fields["memory"] = tuple(entry.replace("=", f"={room}/") for entry in fields.get("memory", ()))
        usual = {"doses": (1.0,), "settings": SETTINGS, "batch_size": 4, "out": str(tmp_path / "out"), "max_length": 64}
        return CompareSpec(**{**usual, **fields, "recipes": recipes})

    return make


def go(spec):
    said = io.StringIO()
    done = compare(spec, Console(file=said, width=200))
    return done, said.getvalue()


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """Puts another program in the place of the worker: the same, as `w`, after some changes."""
    real = subprocess.Popen

    def replace(changes):
        script = tmp_path / "worker.py"
        script.write_text(f"import holdfast.bench.compare.worker as w\n{changes}w.main()\n")
        monkeypatch.setattr(
            worker_pool.subprocess, "Popen", lambda words, **options: real([sys.executable, str(script)], **options)
        )

    return replace


def weights(folder):
    return safetensors.torch.load_file(next((folder / "model").glob("*.safetensors")))


def by_recipe(spec, done):
    folders = {folder.name: folder for folder in done.folders}
    from holdfast.bench.run.folder import folder_of

    return {one.spec.recipe: folders[folder_of(one.spec).name] for one in plan(spec).runs}


@pytest.fixture(scope="module")
def finished(room, tmp_path_factory):
    spec = CompareSpec(
        model=str(room / "model"), data=str(room / "facts.jsonl"), test=str(room / "test.jsonl"),
        keep=(str(room / "texts.txt"),), recipes=("WiSEFT(alpha=0.25)", "LoRA(rank=2)", "LoRA(rank=2) + FAPM()"),
        doses=(1.0,), settings=SETTINGS, batch_size=4, max_length=64, workers=2,
        out=str(tmp_path_factory.mktemp("compare")),
    )  # fmt: skip
    done, said = go(spec)
    return spec, done, said


def test_every_run_has_a_folder_as_train_leaves_it(finished):
    spec, done, said = finished
    assert done.exit_code == 0
    assert len(done.folders) == 4
    for folder in done.folders:
        for name in ("spec.json", "env.json", "scores.jsonl", "result.json", "model"):
            assert (folder / name).exists(), name
    assert "4 runs; 2 only edit the weights of another." in said
    assert "4/4 done in" in said
    (record,) = (json.loads(path.read_text()) for path in (done.folders[0].parent).glob("compare-*.json"))
    assert record["asked"]["recipes"] == list(spec.recipes)
    assert all(run["finished"] for run in record["runs"])


def test_what_is_edited_is_what_training_it_gives(finished, tmp_path):
    spec, done, _ = finished
    folders = by_recipe(spec, done)
    for recipe in ("Train(lr=0.01, epochs=1) + WiSEFT(alpha=0.25)", "Train(lr=0.1, epochs=1) + LoRA(rank=2) + FAPM()"):
        result = json.loads((folders[recipe] / "result.json").read_text())
        assert "trained_in" in result
        same = {name: getattr(spec, name) for name in ("model", "data", "test", "keep", "batch_size", "max_length")}
        alone = train(RunSpec(**same, recipe=recipe, out=str(tmp_path)), Console(quiet=True))
        own, other = weights(folders[recipe]), weights(alone.folder)
        assert own.keys() == other.keys()
        for name, tensor in own.items():
            torch.testing.assert_close(tensor, other[name], rtol=0, atol=1e-6)
        assert alone.record.trained_in is None
        assert result["trained_parameters"] == alone.record.trained_parameters
        assert result["steps"] == alone.record.steps
    trunk = weights(folders["Train(lr=0.01, epochs=1)"])
    edited = weights(folders["Train(lr=0.01, epochs=1) + WiSEFT(alpha=0.25)"])
    assert any(not torch.equal(trunk[name], edited[name]) for name in trunk)


def test_the_base_is_asked_once_and_all_runs_have_its_answers(finished):
    _, done, _ = finished
    out = done.folders[0].parent
    assert len(list((out / "base").glob("*/*.jsonl"))) == 1
    before = [
        {(r.suite, r.item): r.value for r in read_scores(folder / "scores.jsonl")["before"]} for folder in done.folders
    ]
    assert all(one == before[0] for one in before)
    assert {row["run"] for row in read_jsonl(done.folders[1] / "scores.jsonl")} == {done.folders[1].name}


def test_given_again_it_only_reads(finished):
    spec, done, _ = finished
    times = {path: path.stat().st_mtime_ns for folder in done.folders for path in folder.rglob("*")}
    again, said = go(spec)
    assert again.folders == done.folders
    assert "4 of them finished before" in said
    assert {path: path.stat().st_mtime_ns for folder in done.folders for path in folder.rglob("*")} == times


def test_more_recipes_join_those_that_are_there(finished):
    import dataclasses

    spec, done, _ = finished
    more, said = go(dataclasses.replace(spec, recipes=("WiSEFT(alpha=0.25)", "MoFO()")))
    assert "3 runs, 2 of them finished before" in said
    assert set(done.folders) & set(more.folders)


def test_what_a_run_costs_is_kept(finished):
    _, done, _ = finished
    for folder in done.folders:
        cost = json.loads((folder / "result.json").read_text())["cost"]
        assert cost["device"] in ("cpu", "cuda")
        assert cost["seconds"] > 0
        assert cost["cpu"] > 0
        assert cost["memory"] >= cost["before"] > 0


def test_a_run_that_fails_is_reported_and_the_rest_go_on(asked):
    spec = asked("Train(lr=1e30) + MoFO()", "Finch()")
    done, said = go(spec)
    assert done.exit_code == 1
    assert len(done.folders) == 2
    ((name, why),) = done.failed.items()
    assert "loss" in why or "no numbers" in why
    assert f"failed: {name}" in said
    assert f"logs/{name}.txt" in said
    assert "FAILED" in said
    (record,) = (json.loads(path.read_text()) for path in (done.folders[0].parent).glob("compare-*.json"))
    assert [run["error"] for run in record["runs"] if "error" in run] == [why]


def test_what_edits_a_run_that_failed_is_left_out_with_the_reason(asked):
    spec = asked("WiSEFT()", "Finch()", settings="Train(lr=1e30)")
    done, _ = go(spec)
    assert any("which has not finished" in why for why in done.failed.values())


def test_a_process_that_dies_takes_nothing_with_it(asked, worker):
    """A job that kills its own process, and one after it that does not."""
    worker(
        "import os\n"
        "real = w.run_job\n"
        "def run_job(job, console):\n"
        "    os.kill(os.getpid(), 9) if 'Finch' in job['spec']['recipe'] else real(job, console)\n"
        "w.run_job = run_job\n"
    )
    done, _ = go(asked("Finch()", "MoFO()"))
    assert len(done.folders) == 2
    (why,) = done.failed.values()
    assert "killed" in why


def test_a_worker_that_is_gone_is_started_again(asked, worker):
    """The first job ends the process that makes runs; what it prints before is no answer."""
    worker(
        "import os\n"
        "real = w._run_in_fork\n"
        "def run_in_fork(job):\n"
        "    return os._exit(3) if 'Finch' in job['spec']['recipe'] else real(job)\n"
        "w._run_in_fork = run_in_fork\n"
        "print('a greeting')\n"
    )
    done, _ = go(asked("Finch()", "MoFO()"))
    assert len(done.folders) == 2
    (why,) = done.failed.values()
    assert "ended (exit code 3)" in why


def test_each_worker_has_one_of_the_gpus_that_there_are(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    with worker_pool.WorkerPool(3) as made:
        assert [member.env["CUDA_VISIBLE_DEVICES"] for member in made.members] == ["2", "5", "2"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(worker_pool.torch.cuda, "device_count", lambda: 2)
    with worker_pool.WorkerPool(2) as made:
        assert [member.env["CUDA_VISIBLE_DEVICES"] for member in made.members] == ["0", "1"]
    monkeypatch.setattr(worker_pool.torch.cuda, "device_count", lambda: 1)
    with worker_pool.WorkerPool(2) as made:
        assert not any("CUDA_VISIBLE_DEVICES" in member.env for member in made.members)


def test_the_processors_are_shared(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with worker_pool.WorkerPool(1) as one, worker_pool.WorkerPool(2) as two:
        threads = [int(made.members[0].env["OMP_NUM_THREADS"]) for made in (one, two)]
    assert threads == [len(os.sched_getaffinity(0)), max(1, len(os.sched_getaffinity(0)) // 2)]


@pytest.mark.slow
def test_where_a_gpu_may_be_in_use_each_job_has_a_new_process(asked, worker):
    worker("w.torch.cuda.is_available = lambda: True\nw._run_in_fork = None\n")
    done, _ = go(asked("Finch()"))
    assert len(done.folders) == 2


def test_a_budget_that_nothing_is_measured_by_is_refused_before_any_run(asked):
    with pytest.raises(HoldfastError, match="limits none of the measured units"):
        compare(asked("Finch()", budget={"points": 2}), Console(quiet=True))


def test_told_to_end_it_ends_what_it_started(asked, tmp_path):
    spec = asked("MoFO()", settings="Train(lr=0.01, epochs=400)")
    script = tmp_path / "go.py"
    script.write_text(
        "import json, sys\nfrom holdfast.bench.compare.compare import compare\n"
        "from holdfast.bench.given.specs import CompareSpec\n"
        "compare(CompareSpec.from_dict(json.loads(sys.argv[1])))\n"
    )
    words = [sys.executable, str(script), json.dumps(spec.to_dict())]
    first = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "out").glob("*/log.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(first.pid, signal.SIGTERM)
    first.communicate(timeout=300)
    assert first.returncode == 143
    time.sleep(0.5)
    sizes = {log: log.stat().st_size for log in (tmp_path / "out").glob("*/log.jsonl")}
    time.sleep(1.5)
    assert {log: log.stat().st_size for log in (tmp_path / "out").glob("*/log.jsonl")} == sizes


def test_a_base_that_cannot_be_asked_stops_everything(asked, room):
    spec = asked("Finch()", keep=("nothing.txt",))
    with pytest.raises(HoldfastError, match="nothing.txt"):
        compare(spec, Console(quiet=True))


@pytest.mark.slow
def test_interrupted_it_leaves_nothing_running_and_goes_on(asked, tmp_path):
    spec = asked("MoFO()", "MaskTheTarget()", settings="Train(lr=0.01, epochs=40)")
    script = tmp_path / "go.py"
    script.write_text(
        "import json, sys\nfrom holdfast.bench.compare.compare import compare\n"
        "from holdfast.bench.given.specs import CompareSpec\n"
        "compare(CompareSpec.from_dict(json.loads(sys.argv[1])))\n"
    )
    words = [sys.executable, str(script), json.dumps(spec.to_dict())]
    first = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 120
    out = tmp_path / "out"
    while not list(out.glob("*/log.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(first.pid, signal.SIGINT)
    first.communicate(timeout=300)
    assert first.returncode != 0
    done, _ = go(spec)
    assert len(done.folders) == 3
    assert not done.failed


def test_the_answers_of_a_base_do_not_depend_on_who_asks(room, tmp_path):
    spec = RunSpec(
        model=str(room / "model"), data=str(room / "facts.jsonl"), recipe=SETTINGS, keep=(str(room / "texts.txt"),),
        out=str(tmp_path), batch_size=4,
    )  # fmt: skip
    run_job({"kind": "base", "spec": spec.to_dict(), "bases": str(tmp_path / "base")}, Console(quiet=True))
    (kept,) = (tmp_path / "base").glob("*.jsonl")
    text = kept.read_text()
    alone = train(spec, Console(quiet=True))
    sharing = train(RunSpec(**{**spec.to_dict(), "name": "b"}), Console(quiet=True), bases=tmp_path / "base")
    assert kept.read_text() == text
    one, other = (read_scores(done.folder / "scores.jsonl") for done in (alone, sharing))
    assert one == other
    changed = train(
        RunSpec(**{**spec.to_dict(), "name": "c", "keep": [str(room / "general.txt")]}),
        Console(quiet=True),
        bases=tmp_path / "base",
    )
    assert len(list((tmp_path / "base").glob("*.jsonl"))) == 2
    assert {r.suite for r in read_scores(changed.folder / "scores.jsonl")["after"]} >= {"general"}


def test_all_processes_start_while_the_first_is_asked(monkeypatch):
    started = []
    monkeypatch.setattr(worker_pool._Worker, "start", lambda member: started.append(member))
    monkeypatch.setattr(worker_pool._Worker, "ask", lambda member, job: {"before": str(len(started))})
    with worker_pool.WorkerPool(3) as some:
        assert some.first({}) == {"before": "3"}
        assert started == some.members
