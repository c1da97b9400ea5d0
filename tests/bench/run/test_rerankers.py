"""A run of a reranker from files: trained, measured, judged, resumed and refused."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path

import pytest
import torch
from rich.console import Console

from holdfast import HoldfastError, RunSpec, diff, fine_tune
from holdfast.bench.given.fit_spec import FitSpec
from holdfast.bench.given.heal_spec import HealSpec
from holdfast.bench.given.specs import DiffSpec, PlanSpec
from holdfast.bench.measured.guard_split import NoValidationItems
from holdfast.bench.measured.ranking import rank
from holdfast.bench.measured.scores import read_scores
from holdfast.bench.run import rerankers
from holdfast.bench.run.run import train
from holdfast.probes.watch_record import WatchRecord
from holdfast.report.table import show
from tests.rerank import encoders

QUIET = Console(quiet=True)


def written(path, count, seed):
    draw = random.Random(seed)
    with path.open("w") as file:
        for i in range(count):
            right, *wrong = (encoders.text(draw) for _ in range(4))
            row = {
                "query": f"{encoders.text(draw)} {right}",
                "positive": right,
                "negative": wrong,
                "id": f"q{seed}-{i}",
            }
            file.write(json.dumps(row) + "\n")
    return str(path)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    names = {"legal": 48, "general": 60, "old": 12}
    return {name: written(folder / f"{name}.jsonl", size, i) for i, (name, size) in enumerate(names.items())} | {
        "model": encoders.folder()
    }


def spec(files, out, recipe="Train(lr=0.01, epochs=1, batch=8) + BaseKL() + Rehearsal('old', ratio=0.2)", **changes):
    return RunSpec(
        **{
            "model": files["model"],
            "data": files["legal"],
            "keep": (files["general"],),
            "memory": (f"old={files['old']}",),
            "recipe": recipe,
            "budget": {"points": 5, "every": 2, "on_spent": "log"},
            "held_out": 0.3,
            "max_length": 48,
            "out": str(out),
            "name": "run",
            **changes,
        }
    )


def test_a_run_writes_its_folder_and_the_model_that_diff_reads(files, tmp_path):
    result = train(spec(files, tmp_path), QUIET)
    record, folder = result.record, tmp_path / "run"
    assert {row.name: row.role for row in record.suites} == {"task": "learned", "general": "retained"}
    assert record.steps > 4
    assert record.memories[0].token_share == 0.2
    assert record.verdict is not None
    assert result.exit_code in (0, 2, 3, 4)
    assert record.guard.watched == ("general", "task")
    assert len(record.guard.looks) == record.steps // 2 + record.steps % 2
    watched = WatchRecord.read(folder / "model" / "holdfast_watched.json")
    assert {entry.suite for entry in watched.things} == {"general", "task"}
    assert record.ranking["general"].metrics["nDCG@10"].after == pytest.approx(
        next(row.after for row in record.suites if row.name == "general")
    )
    again = train(spec(files, tmp_path), QUIET)
    assert again.record.suites == record.suites

    judged = diff(base=files["model"], tuned=str(folder / "model"), keep=(files["general"],), max_length=48)
    (row,) = judged.suites
    assert row.after == pytest.approx(next(row.after for row in record.suites if row.name == "general"), abs=1e-6)


def test_a_run_ranks_in_its_precision(files, tmp_path, monkeypatch):
    asked, bases = [], tmp_path / "bases"

    def watched(reranker, *rest):
        asked.append(next(reranker.model.parameters()).dtype)
        return rank(reranker, *rest)

    monkeypatch.setattr(rerankers, "rank", watched)
    short = "Train(lr=0.01, epochs=0.2, batch=8)"
    for precision in ("bf16", "fp32", "bf16"):
        train(spec(files, tmp_path / precision, short, precision=precision, budget={}, memory=()), QUIET, bases=bases)
        (tmp_path / precision).rename(tmp_path / f"{precision}-{len(asked)}")
    bf16, fp32 = torch.bfloat16, torch.float32
    assert asked == [bf16, bf16, fp32, fp32, bf16]  # the last run reads what the base said in bf16 before
    assert len(list(bases.iterdir())) == 2


@pytest.mark.parametrize(("loss", "recipe"), [("bce", "BaseKL()"), ("lambda", "LoRA(rank=2) + MaskTheTarget()")])
def test_it_trains_with_other_losses_and_adapters(files, tmp_path, loss, recipe):
    whole = f"Train(lr=0.01, epochs=1, batch=16) + {recipe}"
    result = fine_tune(**spec(files, tmp_path, whole, loss=loss, keep=(), budget={}, memory=()).to_dict())
    assert result.record.verdict is None
    assert result.record.trained_parameters < result.record.parameters or "LoRA" not in recipe
    assert (tmp_path / "run" / "model" / "modules.json").exists() or loss == "bce"


def test_the_listwise_loss_of_a_run_is_the_softmax_cross_entropy():
    from holdfast.rerank.listwise import CertainListNetLoss

    model, rows = encoders.encoder(double=False), encoders.lists(3)
    columns = [[row["query"] for row in rows], [row["documents"] for row in rows]]
    found = CertainListNetLoss(model, mini_batch_size=-1)(columns, [torch.tensor(row["labels"]) for row in rows])
    wanted = []
    for row in rows:
        scores = model(model.preprocess([(row["query"], text) for text in row["documents"]]))["scores"].view(-1)
        wanted.append(-scores.log_softmax(0)[row["labels"].index(1.0)])
    assert found.item() == pytest.approx(torch.stack(wanted).mean().item(), abs=0.01)


def test_all_commands_take_a_reranker(files):
    """A command that is given a reranker knows it by its config, and takes the options of rerankers."""
    shared = {"model": files["model"], "data": files["legal"], "depth": 20}
    assert FitSpec(**shared, budget={"points": 1}, keep=("x",)).reranks
    assert PlanSpec(**shared).reranks
    for kind in (HealSpec, DiffSpec):
        assert kind(base=files["model"], tuned="x", budget={"points": 1}, keep=("x",), depth=20).reranks


def test_a_trial_ranks_validation_queries_alone(files, tmp_path):
    result = train(spec(files, tmp_path), QUIET, validation=True)
    scores = read_scores(tmp_path / "run" / "scores.jsonl")
    assert {score.split for score in scores["after"]} == {"watch"}
    assert result.record.judged_on == "validation items"
    assert {row.name for row in result.record.suites} == {"task", "general"}
    (tmp_path / "one.jsonl").write_text(Path(files["general"]).read_text().partition("\n")[0])
    with pytest.raises(NoValidationItems, match="--keep"):
        train(spec(files, tmp_path, keep=(str(tmp_path / "one.jsonl"),), name="one"), QUIET, validation=True)


def test_options_without_effect_and_empty_files_are_refused(files, tmp_path):
    with pytest.raises(HoldfastError, match="--packing has no effect on rerankers"):
        train(spec(files, tmp_path, packing=True), QUIET)
    with pytest.raises(HoldfastError, match=r"none.jsonl"):
        train(spec(files, tmp_path, data=str(tmp_path / "none.jsonl")), QUIET)
    with pytest.raises(HoldfastError, match="a reranker writes none"):
        train(spec(files, tmp_path, recipe="SelfRehearsal()"), QUIET)
    assert not (tmp_path / "run").exists()


def test_without_a_recipe_a_reranker_is_held_to_its_base_and_trains(files, tmp_path):
    """What the demo says to type next names no recipe."""
    given = {"model": files["model"], "data": files["legal"], "keep": (files["general"],)}
    assert RunSpec(**given).recipe == "BaseKL()"
    with_old = RunSpec(**given, memory=(f"old={files['old']}",))
    assert with_old.recipe == "BaseKL() + Rehearsal('old', ratio=0.2)"
    done = fine_tune(**given, max_length=48, budget={"points": 90}, out=str(tmp_path), name="next")
    assert done.record.verdict is not None
    assert (done.folder / "model" / "config.json").exists()
    shown = io.StringIO()
    show(done, Console(file=shown, width=80))
    assert "nDCG@10 times 100, higher is better" in shown.getvalue()
    assert "MRR@10" in shown.getvalue()
    assert "percent right" not in shown.getvalue()


@pytest.mark.parametrize(("count", "sentence"), [(60, "The guard watches "), (1, "No guard watches the training")])
def test_it_says_whether_a_guard_watches(files, tmp_path, count, sentence):
    kept = tmp_path / "kept.jsonl"
    with open(files["general"]) as whole:
        kept.write_text("".join(list(whole)[:count]))
    said = io.StringIO()
    train(spec(files, tmp_path, keep=(str(kept),)), Console(file=said, width=200))
    assert sentence in said.getvalue()
    assert said.getvalue().index(sentence) < said.getvalue().index("training: ")
    if count > 1:
        few = tmp_path / "few.jsonl"
        few.write_text(kept.read_text().splitlines(keepends=True)[0])
        train(spec(files, tmp_path, keep=(str(kept), str(few)), name="two"), Console(file=said, width=200))
        assert "It does not watch few, whose queries are all on one side." in said.getvalue()
