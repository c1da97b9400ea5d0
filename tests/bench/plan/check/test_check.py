"""Lints fire and are silent, translations are runs, and what is left out is named."""

from __future__ import annotations

import dataclasses

import pytest

from holdfast.bench.given.specs import PlanSpec, RunSpec
from holdfast.bench.given.yaml_files import read_config
from holdfast.bench.plan.check.check import check, parameters_of
from holdfast.bench.plan.check.config import TrainingConfig
from holdfast.bench.plan.check.keys import PASSED
from holdfast.bench.plan.check.lints import LINTS
from holdfast.bench.plan.check.translation import translated
from holdfast.bench.run.arguments import _OWNED
from holdfast.core.errors import HoldfastError
from holdfast.recipe import parse
from tests.bench.plan.check.test_readers import AXOLOTL, LLAMA_FACTORY, MS_SWIFT, OURS, TRL

GOOD = TrainingConfig(
    "TRL", model="m", data=("d",), tuning="lora", lr=2e-4, epochs=3.0, rows=4, accumulation=4, warmup_share=0.03,
    schedule="cosine", rank=16, alpha=32.0, dropout=0.1, targets="all-linear", clip=0.3, loss_on="completion",
    keeps=True, rehearses=True,
)  # fmt: skip
CASES = {
    "all weights without old examples": {"tuning": "full", "rehearses": False, "lr": 2e-5},
    "an adapter without old examples": {"rehearses": False},
    "nothing measures what is lost": {"keeps": False},
    "a high rate": {"lr": 2e-3},
    "a rate of all weights on an adapter": {"lr": 2e-5},
    "a high rank at a high rate": {"rank": 256},
    "many epochs": {"epochs": 8.0},
    "a long warm-up": {"warmup_share": 0.2},
    "frozen layers": {"tuning": "freeze", "frozen": 0.85, "lr": 2e-5},
    "attention alone": {"targets": "q_proj,v_proj"},
    "4-bit weights without clipping or dropout": {"tuning": "qlora", "clip": None},
    "prompts are learned": {"loss_on": "all"},
    "a batch for large models": {"rows": 64},
}


def test_a_good_config_has_no_lint():
    assert [lint.name for lint in LINTS if lint.applies(GOOD, 8 * 10**9)] == []


@pytest.mark.parametrize("lint", LINTS, ids=lambda lint: lint.name)
def test_a_lint_fires_alone_on_its_setting(lint):
    bad = dataclasses.replace(GOOD, **CASES[lint.name])
    assert [other.name for other in LINTS if other.applies(bad, 8 * 10**9)] == [lint.name]
    assert "{" not in lint.sentence(bad)
    assert lint.figures or lint.because, "by how much?"
    assert lint.change


def test_the_limit_of_a_rate_follows_the_size():
    high = next(lint for lint in LINTS if lint.name == "a high rate")
    full = dataclasses.replace(GOOD, tuning="full", lr=1e-5)
    assert not high.applies(full, 8 * 10**9)
    assert high.applies(full, 70 * 10**9)
    assert not high.applies(dataclasses.replace(full, lr=1e-3), 2_800_000)
    assert high.applies(dataclasses.replace(full, lr=1e-3), None)


def checked(tmp_path, text, name="c.yaml", **options):
    (tmp_path / name).write_text(text.replace("DIR", str(tmp_path)))
    return check(PlanSpec(check=str(tmp_path / name), **options))


@pytest.mark.parametrize(
    ("text", "name"),
    [(AXOLOTL, "a.yml"), (LLAMA_FACTORY, "l.yaml"), (MS_SWIFT, "s.sh"), (TRL, "t.yaml"), (OURS, "o.yaml")],
    ids=["axolotl", "llama-factory", "ms-swift", "trl", "ours"],
)
def test_a_translation_is_a_run_and_names_what_was_left_out(text, name, tmp_path):
    done = checked(tmp_path, text, name, write=str(tmp_path / "run.yaml"))
    assert done.issues
    spec = RunSpec.from_dict(read_config(str(tmp_path / "run.yaml")), "run.yaml")
    parse(spec.recipe)
    assert spec.model == done.config.model
    written = (tmp_path / "run.yaml").read_text()
    for key in (*done.config.unknown, *done.config.idle):
        assert key in written or done.config.trainer == "holdfast train"
    if done.changed:
        assert done.changed in written
        parse(done.changed)


def test_the_settings_of_a_config_reach_the_run(tmp_path):
    checked(tmp_path, AXOLOTL, write=str(tmp_path / "run.yaml"))
    run = read_config(str(tmp_path / "run.yaml"))
    recipe = "Train(lr=0.0002, epochs=4, batch=8, weight_decay=0) + QLoRA(rank=32, alpha=16.0, dropout=0.05, "
    assert run["recipe"] == recipe + "clip=1.0, targets='all-linear')"
    assert (run["max_length"], run["packing"], run["precision"], run["batch_size"]) == (2048, True, "bf16", 2)
    assert run["loss_on"] == "all"
    assert run["training"] == {"lr_scheduler_type": "cosine", "warmup_steps": 10, "optim": "paged_adamw_32bit"}
    assert "1 of 2 data sets: more.jsonl" in (tmp_path / "run.yaml").read_text()


def test_what_is_assumed_stands_in_the_written_run(tmp_path):
    checked(tmp_path, MS_SWIFT, "s.sh", write=str(tmp_path / "run.yaml"))
    written = (tmp_path / "run.yaml").read_text()
    assert "alpaca-gpt4-data-en#500: all rows of it are taken" in written
    assert "held_out: 0 takes all" in written


def test_four_bits_have_the_clipping_and_dropout_of_their_trainer():
    made = translated(dataclasses.replace(GOOD, tuning="qlora", clip=None, dropout=None))
    assert "QLoRA(rank=16, alpha=32.0, dropout=0.0, clip=1.0, targets='all-linear')" in made.options["recipe"]


def test_every_argument_that_is_passed_on_is_one_that_a_run_takes():
    assert not PASSED & {*_OWNED}


def test_a_rate_keeps_its_digits():
    assert "lr=1.23456789e-05" in translated(dataclasses.replace(GOOD, lr=1.23456789e-5)).options["recipe"]


def test_training_by_steps_and_other_objectives():
    made = translated(dataclasses.replace(GOOD, max_steps=200, objective="dpo", tuning="other"))
    assert made.options["training"]["max_steps"] == 200
    assert "epochs" not in made.options["recipe"]
    assert any("dpo" in sentence for sentence in made.left)
    assert any("LoRA() takes its place" in sentence for sentence in made.left)
    frozen = translated(dataclasses.replace(GOOD, tuning="freeze", frozen=0.5))
    assert "FreezeBottom(share=0.5)" in frozen.options["recipe"]


def test_a_config_without_a_model_is_checked_but_not_written(tmp_path):
    text = TRL.replace("model_name_or_path: Qwen/Qwen2-0.5B\n", "")
    assert checked(tmp_path, text).missing == ("model",)
    with pytest.raises(HoldfastError, match="names no model"):
        checked(tmp_path, text, write=str(tmp_path / "run.yaml"))
    assert checked(tmp_path, text, model="ground:base", write=str(tmp_path / "run.yaml")).parameters == 2_803_456


def test_an_existing_file_is_not_overwritten(tmp_path):
    (tmp_path / "run.yaml").write_text("mine")
    with pytest.raises(HoldfastError, match="exists"):
        checked(tmp_path, TRL, write=str(tmp_path / "run.yaml"))
    assert (tmp_path / "run.yaml").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("Qwen/Qwen2-0.5B", 500_000_000),
        ("google/gemma-3-270m", 270_000_000),
        ("meta-llama/Meta-Llama-3-8B-Instruct", 8 * 10**9),
        ("org/model", None),
        ("", None),
    ],
)
def test_the_size_of_an_absent_model_is_read_from_its_name(name, size):
    assert parameters_of(name) == (size, True)


def test_the_size_of_a_model_that_is_here_is_counted():
    assert parameters_of("ground:base") == (2_803_456, False)
