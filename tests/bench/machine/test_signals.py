"""A run that a signal stops saves a checkpoint and goes on from it to the same end; one that is finished says so."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from rich.console import Console

from holdfast.bench.given.specs import RunSpec
from holdfast.bench.machine.files import read_jsonl
from holdfast.bench.machine.signals import SaveOnSignal, Terminated
from holdfast.bench.measured.scores import read_scores
from holdfast.bench.run import run as bench
from holdfast.bench.run import training as steps
from holdfast.bench.run.run import train
from holdfast.train.checkpoint import last_checkpoint

ROOT = Path(__file__).parents[3]
FULL = "Train(lr=0.01, epochs=2)"
ADAPTER = "Train(lr=0.05, epochs=2) + LoRA(rank=2) + MaskTheTarget()"


@pytest.fixture
def asked(room, tmp_path):
    def make(**changes):
        fields = {"recipe": FULL, "out": str(tmp_path / "runs"), "keep": (str(room / "general.txt"),), **changes}
        return RunSpec(model=str(room / "model"), data=str(room / "facts.jsonl"), **fields)

    return make


def go(spec):
    return train(spec, Console(quiet=True))


def scores(folder):
    return {
        (m, row.suite, row.item): row.value for m, rows in read_scores(folder / "scores.jsonl").items() for row in rows
    }


def log(folder):
    return [(row["step"], row["loss"], row["grad_norm"]) for row in read_jsonl(folder / "log.jsonl")]


def weights(folder):
    import safetensors.torch

    (file,) = (folder / "model").glob("*.safetensors")
    return safetensors.torch.load_file(file)


def told_at(monkeypatch, step, name="SIGTERM"):
    """Has this process told to end when a step is logged, as a scheduler would."""
    append = steps.append_jsonl

    def tell(path, row):
        append(path, row)
        if row["step"] == step:
            os.kill(os.getpid(), getattr(signal, name))

    monkeypatch.setattr(steps, "append_jsonl", tell)


@pytest.mark.parametrize(
    ("recipe", "name", "training"),
    [
        (FULL, "SIGTERM", {}),
        (FULL, "SIGHUP", {}),
        (FULL, "SIGTERM", {"save_strategy": "no"}),
        (ADAPTER, "SIGTERM", {"save_steps": 100}),
    ],
)
def test_told_to_end_it_saves_and_resumed_ends_as_the_whole(asked, monkeypatch, capfd, recipe, name, training):
    whole = go(asked(name="whole", recipe=recipe, training=training))
    told_at(monkeypatch, 2, name)
    with pytest.raises(Terminated, match=rf"stopped by {name}; the checkpoint of step 3 of \d is saved"):
        go(asked(name="parts", recipe=recipe, training=training))
    monkeypatch.undo()
    assert "the run saves a checkpoint after this step" in capfd.readouterr().err
    folder = whole.folder.parent / "parts"
    assert last_checkpoint(folder / "checkpoints").name == "checkpoint-3"
    assert not (folder / "result.json").exists()
    parts = go(asked(name="parts", recipe=recipe, training=training, resume=True))
    assert scores(parts.folder) == scores(whole.folder)
    assert log(parts.folder) == log(whole.folder)
    assert all(torch.equal(tensor, weights(parts.folder)[key]) for key, tensor in weights(whole.folder).items())


def test_told_more_than_once_it_still_saves(asked, monkeypatch):
    append = steps.append_jsonl

    def tell(path, row):
        append(path, row)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(steps, "append_jsonl", tell)
    with pytest.raises(Terminated, match="the checkpoint of step 2"):
        go(asked(name="run"))


def test_an_interrupt_after_it_was_told_ends_at_once(asked, monkeypatch, tmp_path):
    append = steps.append_jsonl

    def tell(path, row):
        append(path, row)
        os.kill(os.getpid(), signal.SIGTERM)
        raise KeyboardInterrupt

    monkeypatch.setattr(steps, "append_jsonl", tell)
    with pytest.raises(KeyboardInterrupt) as ended:
        go(asked(name="run"))
    assert not isinstance(ended.value, Terminated)
    assert last_checkpoint(tmp_path / "runs" / "run" / "checkpoints") is None


def test_told_while_nothing_trains_it_ends_at_once(asked, monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "measure", lambda *args, **named: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Terminated, match=r"^stopped by SIGTERM$"):
        go(asked(name="run"))
    assert not (tmp_path / "runs" / "run" / "scores.jsonl").exists()


def test_afterwards_signals_do_what_they_did(asked):
    before = {name: signal.getsignal(getattr(signal, name)) for name in ("SIGTERM", "SIGHUP")}
    go(asked(name="run"))
    assert {name: signal.getsignal(getattr(signal, name)) for name in ("SIGTERM", "SIGHUP")} == before


def test_a_program_that_takes_a_signal_itself_keeps_it(asked):
    got = []
    held = signal.signal(signal.SIGTERM, lambda *_: got.append("mine"))
    try:
        with SaveOnSignal().handling_signals():
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, held)
    assert got == ["mine"]


@pytest.mark.slow
def test_on_the_command_line_it_ends_with_1_and_says_how_to_go_on(room, tmp_path):
    given = ["--model", "model", "--data", "facts.jsonl", "--out", str(tmp_path / "out"), "--name", "run"]
    given += ["--recipe", "Train(lr=0.003, epochs=200)", "--training", "save_strategy=no"]
    process = subprocess.Popen(
        [sys.executable, "-m", "holdfast", "train", *given], cwd=room, stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL, text=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
    )  # fmt: skip
    run = tmp_path / "out" / "run"
    until = time.monotonic() + 120
    while time.monotonic() < until and not (run / "log.jsonl").exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    first, last = err.strip().split("\n\n")
    assert first == "holdfast: stopped by SIGTERM; the run saves a checkpoint after this step."
    assert re.fullmatch(
        r"holdfast: stopped by SIGTERM; the checkpoint of step [\d,]+ of [\d,]+ is saved; give the same command "
        r"with --resume to continue from the last checkpoint\.",
        last,
    )
    assert last_checkpoint(run / "checkpoints") is not None


def test_a_finished_run_that_is_asked_for_again_says_so(asked, capsys):
    first = go(asked(name="run"))
    again = train(asked(name="run"), Console(width=300))
    said = capsys.readouterr().out
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime((first.folder / "result.json").stat().st_mtime))
    assert said == (
        f"{first.folder} is finished, since {since}: nothing runs now, and the output below is from then. To run it "
        "again, give another --name or --seed, or delete the folder.\n"
    )
    assert again.record == first.record


@pytest.mark.slow
def test_of_two_processes_the_first_alone_prints_and_writes(room, tmp_path):
    given = ["--model", str(room / "model"), "--data", str(room / "facts.jsonl"), "--keep", str(room / "general.txt")]
    given += ["--recipe", FULL, "--out", str(tmp_path / "out"), "--batch-size", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    several = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m"]
    said = {}
    for name, start in (("alone", ["-m"]), ("two", several)):
        done = subprocess.run(
            [sys.executable, *start, "holdfast", "train", *given, "--name", name],
            capture_output=True, text=True, env=environment, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        said[name] = [line for line in done.stdout.splitlines() if line.strip() and "[Gloo]" not in line]
        assert "Warning" not in done.stderr
    assert len(said["two"]) == len(said["alone"]), "\n".join(said["two"])
    one, two = tmp_path / "out" / "alone", tmp_path / "out" / "two"
    assert sorted(path.name for path in two.iterdir()) == sorted(path.name for path in one.iterdir())
    result = json.loads((two / "result.json").read_text())
    assert [row["step"] for row in read_jsonl(two / "log.jsonl")] == list(range(1, result["steps"] + 1))
    for moment, rows in read_scores(two / "scores.jsonl").items():
        assert len({(row.suite, row.item) for row in rows}) == len(rows)
        assert len(rows) == len(read_scores(one / "scores.jsonl")[moment]) > 0
    assert not list(two.rglob("*.partial"))
