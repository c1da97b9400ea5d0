"""Trackers outlast the run: their files stay, and the scores and the verdict reach them before they close."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console
from transformers import TrainerCallback
from transformers.integrations import integration_utils

from holdfast.bench.given.specs import RunSpec
from holdfast.bench.run.run import train
from holdfast.bench.run.tracker_tables import markdown, rows_of
from holdfast.core.errors import HoldfastError


class Tracker(TrainerCallback):
    """Writes beside the checkpoints, as most do, and forgets everything once it is told that training has ended."""

    told: list = []

    def on_train_begin(self, args, state, control, **kwargs):
        folder = Path(args.output_dir) / "live"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "steps.txt").write_text("begun")
        self.told.append("begin")

    def on_log(self, args, state, control, logs=None, **kwargs):
        self.told.append(dict(logs))

    def on_train_end(self, args, state, control, model=None, **kwargs):
        assert model is not None
        self.told.append("end")


@pytest.fixture
def tracked(monkeypatch):
    monkeypatch.setattr(Tracker, "told", [])
    monkeypatch.setitem(integration_utils.INTEGRATION_TO_CALLBACK, "fake", Tracker)
    return Tracker.told


def go(room, tmp_path, **changes):
    fields = {"recipe": "Train(lr=0.01, epochs=1)", "budget": {"nll": 0.5}, "training": {"report_to": ["fake"]}}
    spec = RunSpec(
        model=str(room / "model"), data=str(room / "facts.jsonl"), keep=(str(room / "texts.txt"),),
        out=str(tmp_path / "runs"), name="run", **{**fields, **changes},
    )  # fmt: skip
    return train(spec, Console(quiet=True))


def test_what_trackers_write_beside_the_checkpoints_stays(room, tmp_path, tracked):
    done = go(room, tmp_path)
    assert (done.folder / "trackers" / "live" / "steps.txt").read_text() == "begun"
    assert not (done.folder / "checkpoints").exists()


def test_the_scores_and_the_verdict_reach_a_tracker_before_it_is_told_of_the_end(room, tmp_path, tracked):
    done = go(room, tmp_path)
    assert tracked[0] == "begin"
    assert tracked[-1] == "end"
    assert tracked.count("end") == 1
    steps = [logs for logs in tracked[1:-2] if not any(name.startswith("eval_guard/") for name in logs)]
    assert all("loss" in logs or "train_loss" in logs for logs in steps)
    assert len(steps) == len(tracked) - 3 - len(done.record.guard.looks)
    last = tracked[-2]
    for suite in done.record.suites:
        for moment in ("before", "after", "change"):
            assert last[f"eval_{suite.role}/{suite.name}/{moment}"] == getattr(suite, moment)
    assert last["eval_verdict"] == done.record.verdict.word
    assert last["eval_exit_code"] == done.exit_code
    (mean,) = done.record.verdict.means
    assert last["eval_mean/nats/change"] == mean.change


def test_without_trackers_there_is_no_folder_of_theirs(room, tmp_path):
    assert not (go(room, tmp_path, training={}).folder / "trackers").exists()


def test_without_a_budget_there_is_no_verdict_to_tell(room, tmp_path, tracked):
    go(room, tmp_path, budget={})
    assert not any("verdict" in name for name in tracked[-2])


def test_an_argument_that_is_gone_says_where_the_files_are(room, tmp_path):
    with pytest.raises(HoldfastError, match="argument 'logging_dir'; .*run's folder, .*TENSORBOARD_LOGGING_DIR"):
        go(room, tmp_path, training={"logging_dir": "logs"})


def test_a_run_bears_the_name_of_its_folder_in_a_tracker(room, tmp_path, tracked, monkeypatch):
    names = []
    monkeypatch.setattr(
        Tracker, "on_train_begin", lambda self, args, state, control, **kwargs: names.append(args.run_name)
    )
    go(room, tmp_path)
    assert names == ["run"]


@pytest.mark.parametrize("elsewhere", [False, True])
def test_tensorboard_can_be_read_afterwards(room, tmp_path, monkeypatch, elsewhere):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    if elsewhere:
        monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "tb"))
    done = go(room, tmp_path, training={"report_to": "tensorboard"})
    folder = tmp_path / "tb" if elsewhere else done.folder / "trackers" / "tensorboard"
    events = EventAccumulator(str(folder))
    events.Reload()
    scalars = events.Tags()["scalars"]
    assert "train/loss" in scalars
    assert len(events.Scalars("train/loss")) == done.record.steps
    kept = next(suite for suite in done.record.suites if suite.role == "retained")
    (after,) = events.Scalars("eval/retained/texts/after")
    assert after.value == pytest.approx(kept.after, rel=1e-5)
    assert "eval/verdict/text_summary" in events.Tags()["tensors"]
    (table,) = events.Tensors("holdfast/suites/text_summary")
    assert "| texts | retained | nats |" in table.tensor_proto.string_val[0].decode()
    (word,) = events.Tensors("holdfast/verdict/text_summary")
    assert word.tensor_proto.string_val[0].decode() == done.record.verdict.word
    lost = events.Scalars("eval/guard/nats_lost")
    assert [(event.step, event.value) for event in lost] == [
        (look.step, pytest.approx(look.nats_lost, rel=1e-5)) for look in done.record.guard.looks
    ]
    assert json.loads((done.folder / "result.json").read_text()) == done.record.to_dict()


def test_wandb_has_the_table_the_verdict_and_the_curves_offline(room, tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    seen = {}

    def finish(*args, real=wandb.finish, **kwargs):
        seen.update({key: wandb.run.summary.get(key) for key in ("holdfast/verdict", "holdfast/suites")})
        seen["after"] = wandb.run.summary.get("eval/retained/texts/after")
        seen["lost"] = wandb.run.summary.get("eval/guard/nats_lost")
        return real(*args, **kwargs)

    monkeypatch.setattr(wandb, "finish", finish)
    done = go(room, tmp_path, training={"report_to": "wandb"})
    kept = next(suite for suite in done.record.suites if suite.role == "retained")
    assert seen["holdfast/verdict"] == done.record.verdict.word
    assert seen["after"] == pytest.approx(kept.after)
    assert seen["lost"] == pytest.approx(done.record.guard.looks[-1].nats_lost)
    (table,) = tmp_path.rglob("holdfast/suites*.table.json")
    values = json.loads(table.read_text())
    assert values["data"] == rows_of(done.record)


def test_mlflow_has_the_table_the_verdict_and_the_curves_in_its_files(room, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.chdir(tmp_path)
    done = go(room, tmp_path, training={"report_to": "mlflow"})
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (run,) = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    assert run.data.tags["holdfast/verdict"] == done.record.verdict.word
    kept = next(suite for suite in done.record.suites if suite.role == "retained")
    assert run.data.metrics["eval_retained/texts/after"] == pytest.approx(kept.after)
    steps = [point.step for point in client.get_metric_history(run.info.run_id, "eval_guard/nats_lost")]
    assert steps == [look.step for look in done.record.guard.looks]
    names = [path.path for path in client.list_artifacts(run.info.run_id, "holdfast")]
    assert sorted(names) == ["holdfast/suites.json", "holdfast/suites.md"]


def test_trackio_has_the_table_and_the_verdict_in_its_files(room, tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    trackio = pytest.importorskip("trackio")
    logged = []
    monkeypatch.setattr(trackio, "log", lambda values, *args, real=trackio.log, **kwargs: (
        logged.append(values), real(values, *args, **kwargs)))  # fmt: skip
    done = go(room, tmp_path, training={"report_to": "trackio"})
    (table,) = [values for values in logged if "holdfast/suites" in values]
    assert table["holdfast/verdict"] == done.record.verdict.word
    rows = table["holdfast/suites"].data  # a mapping for each row, since trackio 0.43
    assert [next(iter(row.values())) for row in rows] == [suite.name for suite in done.record.suites]
    assert any("eval/guard/nats_lost" in values for values in logged)
    assert any(path.is_file() for path in (tmp_path / "trackio").rglob("*"))


def test_the_table_of_a_tracker_holds_every_suite_and_escapes_names(room, tmp_path):
    done = go(room, tmp_path, training={})
    rows = rows_of(done.record)
    assert [row[0] for row in rows] == [suite.name for suite in done.record.suites]
    text = markdown([["a|b\n<c>", *rows[0][1:]]])
    assert text.splitlines()[2].startswith("| a\\|b &lt;c> | ")
    assert len(text.splitlines()) == 3
