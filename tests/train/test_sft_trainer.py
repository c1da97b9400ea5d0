"""An unmodified trl.SFTTrainer, with and without packing, retraces the loop and keeps its own metrics."""

from __future__ import annotations

import copy

import datasets
import pytest
import transformers
import trl

from holdfast.core.mix import Example
from holdfast.core.run import SOURCE
from holdfast.train.attach import attach
from tests import tiny
from tests.train.retrace import batches_of, furthest, reference


def sft(folder, model, *, packing=False, micro=4, accumulate=2, data=None, **changes):
    args = trl.SFTConfig(
        output_dir=str(folder),
        **{
            "use_cpu": True,
            "bf16": False,
            "per_device_train_batch_size": micro,
            "gradient_accumulation_steps": accumulate,
            "learning_rate": 0.05,
            "lr_scheduler_type": "constant",
            "optim": "sgd",
            "num_train_epochs": 1,
            "report_to": "none",
            "save_strategy": "no",
            "logging_steps": 1,
            "disable_tqdm": True,
            "seed": 5,
            "max_length": 24,
            "packing": packing,
            **changes,
        },
    )
    data = datasets.Dataset.from_list(data or tiny.rows(24))
    return trl.SFTTrainer(model=model, args=args, train_dataset=data, processing_class=tiny.tokenizer())


@pytest.mark.parametrize("packing", [False, True])
@pytest.mark.parametrize(("micro", "accumulate"), [(8, 1), (2, 4), (1, 8)])
@pytest.mark.parametrize("recipe", ["MaskTheTarget() + Finch()", "LoRA(rank=2) + BaseKL() + Cosine()"])
def test_sft_trainer_ends_where_the_loop_ends(tmp_path, packing, recipe, micro, accumulate):
    start = tiny.tiny()
    own = sft(tmp_path, copy.deepcopy(start), packing=packing, micro=micro, accumulate=accumulate)
    trainer = attach(own, recipe)
    steps = batches_of(trainer)
    if packing:
        assert "attention_mask" not in steps[0][0]
        steps = [[tiny.unpacked(batch) for batch in step] for step in steps]
    trainer.train()
    expected, _, record = reference(copy.deepcopy(start), recipe, steps)
    assert furthest(trainer.model, expected) < 1e-12
    logged = [row["task_loss"] for row in trainer.state.log_history if "task_loss" in row]
    assert logged == pytest.approx([row["task_loss"] for row in record], rel=1e-6)


@pytest.mark.parametrize("packing", [False, True])
def test_sft_trainers_own_metrics_are_what_they_were(tmp_path, packing):
    start = tiny.tiny()
    plain = sft(tmp_path / "plain", copy.deepcopy(start), packing=packing)
    plain.train()
    ours = attach(sft(tmp_path / "ours", copy.deepcopy(start), packing=packing), "BaseKL(strength=1e-300)")
    ours.train()
    for theirs, mine in zip(plain.state.log_history[:-1], ours.state.log_history[:-1], strict=True):
        for name in ("loss", "entropy", "mean_token_accuracy", "num_tokens", "grad_norm", "learning_rate"):
            assert mine[name] == pytest.approx(theirs[name], rel=1e-5), name
    assert furthest(plain.model, ours.model) < 1e-7  # TRL takes its losses in float32


@pytest.mark.parametrize("packing", [False, True])
def test_rehearsal_in_an_sft_trainer_retraces_the_loop_with_the_source_of_each_token(tmp_path, packing):
    memory = [Example(row["input_ids"], row["labels"]) for row in tiny.rows(9, seed=7)]
    start = tiny.tiny()
    trainer = sft(tmp_path, copy.deepcopy(start), packing=packing, micro=2)
    attach(trainer, "Rehearsal('old', ratio=0.3) + MaskTheTarget() + Finch()", memories={"old": memory})
    steps = batches_of(trainer)
    if packing:
        steps = [[tiny.unpacked(batch) for batch in step] for step in steps]
    trainer.train()
    shares = []
    for step in steps:
        supervised = [(b["labels"][:, 1:] != -100) for b in step]
        old = sum(int((b[SOURCE][:, 1:] > 0)[s].sum()) for b, s in zip(step, supervised, strict=True))
        shares.append(old / sum(int(s.sum()) for s in supervised))
    logged = [row["memory_share"] for row in trainer.state.log_history if "memory_share" in row]
    assert logged == pytest.approx([share for share in shares if share], rel=1e-6)
    assert any(shares)
    expected, _, _record = reference(copy.deepcopy(start), "MaskTheTarget() + Finch()", steps)
    assert furthest(trainer.model, expected) < 1e-12


def test_a_mixture_of_experts_keeps_its_auxiliary_loss(tmp_path):
    start = tiny.tiny("mixtral")
    plain = sft(tmp_path / "plain", copy.deepcopy(start))
    plain.train()
    ours = attach(sft(tmp_path / "ours", copy.deepcopy(start)), "BaseKL(strength=1e-300)")
    ours.train()
    assert furthest(plain.model, ours.model) < 1e-7  # TRL takes its losses in float32
    assert ours.state.log_history[0]["aux_loss"] == pytest.approx(plain.state.log_history[0]["aux_loss"], rel=1e-5)


@pytest.mark.parametrize("padding_free", [False, True])
def test_rows_that_are_wrapped_and_not_packed_whole_are_met_again_as_they_were_read(tmp_path, padding_free):
    """Such rows do not tell the lengths of their documents, and neither do the old ones beside them."""
    memory = [Example(row["input_ids"], row["labels"]) for row in tiny.rows(30, seed=3)]
    wrapped = {"packing_strategy": "wrapped", "padding_free": padding_free}
    trainer = sft(tmp_path, tiny.tiny(), packing=True, data=tiny.rows(40), **wrapped)
    attach(trainer, "Rehearsal('old', ratio=0.3) + FLOW(on='all')", memories={"old": memory})
    assert not any(example.lengths for example in trainer.holdfast_mix.examples)
    trainer.train()
    assert any("memory_share" in row for row in trainer.state.log_history)


@pytest.mark.parametrize(
    ("form", "warned"),
    [
        ({"packing": True}, True),
        ({"padding_free": True, "max_length": None}, True),
        ({"packing": True, "packing_strategy": "wrapped", "padding_free": False}, False),  # joins documents by design
        ({}, False),
    ],
)
def test_a_model_that_reads_packed_documents_as_one_is_named(tmp_path, caplog, form, warned):
    bloom = transformers.BloomConfig(vocab_size=61, hidden_size=16, n_layer=2, n_head=2)
    attach(sft(tmp_path, transformers.AutoModelForCausalLM.from_config(bloom), **form), "WSD()")
    assert ("BloomForCausalLM reads the documents of a packed row as one" in caplog.text) == warned


def test_a_model_that_keeps_packed_documents_apart_is_not_named(tmp_path, caplog):
    attach(sft(tmp_path, tiny.tiny(), packing=True), "WSD()")
    assert "as one" not in caplog.text
