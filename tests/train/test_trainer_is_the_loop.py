"""The Hugging Face path retraces the reference loop, however the batch is split."""

from __future__ import annotations

import copy

import pytest
import torch
import transformers

from holdfast.bench.run.training import Collate, packed_alike
from holdfast.core.method import chain
from holdfast.core.mix import Example
from holdfast.core.run import SOURCE
from holdfast.data.packing import pack
from holdfast.methods.losses.base_kl import BaseKL
from holdfast.methods.losses.mask_the_target import MaskTheTarget
from holdfast.methods.schedules.finch import Finch
from holdfast.train.attach import attach
from holdfast.train.full_loop import FullLoop
from holdfast.train.loop import Loop
from tests import tiny
from tests.acting import Acting
from tests.train.retrace import arguments, batches_of, both, furthest, reference, trainer_for

SPLITS = [(8, 1), (2, 4), (1, 8)]


@pytest.mark.parametrize(("micro", "accumulate"), SPLITS)
@pytest.mark.parametrize(
    "recipe",
    [
        "MaskTheTarget(strength=2.0) + Finch()",
        "BaseKL(direction='reverse') + Cosine() + Warmup(ratio=0.5)",
        "LoRA(rank=2) + MaskTheTarget() + Finch(decay=0.5)",
    ],
)
def test_trainer_ends_where_the_loop_ends(tmp_path, recipe, micro, accumulate):
    trainer, model, expected, record = both(tmp_path, recipe, micro=micro, accumulate=accumulate)
    assert trainer.state.global_step == 3 == len(record)
    assert furthest(model, expected) < 1e-12
    logged = [row for row in trainer.state.log_history if "task_loss" in row]
    assert [row["task_loss"] for row in logged] == pytest.approx([row["task_loss"] for row in record], rel=1e-6)
    assert [row["lr_factor"] for row in logged] == pytest.approx([row["lr_factor"] for row in record], rel=1e-6)


@pytest.mark.parametrize(("micro", "accumulate"), SPLITS)
def test_every_hook_acts_where_the_loop_says(tmp_path, micro, accumulate):
    _, model, expected, _ = both(tmp_path, Acting() + MaskTheTarget(), micro=micro, accumulate=accumulate)
    assert furthest(model, expected) < 1e-12


@pytest.mark.parametrize("backbone", tiny.BACKBONES)
def test_every_backbone_retraces_the_loop(tmp_path, backbone):
    model = tiny.tiny(backbone, **({"output_router_logits": False} if backbone == "mixtral" else {}))
    _, trained, expected, _ = both(tmp_path, MaskTheTarget() + Finch(), micro=4, accumulate=2, model=model, count=16)
    assert furthest(trained, expected) < 1e-11


@pytest.mark.parametrize(("micro", "accumulate"), [(4, 1), (1, 4)])
def test_packed_rows_in_a_plain_trainer_retrace_the_loop(tmp_path, micro, accumulate):
    examples = pack([Example(row["input_ids"], row["labels"]) for row in tiny.rows(24)], 24)
    start = tiny.tiny()
    args = arguments(tmp_path, micro, accumulate, remove_unused_columns=False)
    trainer = transformers.Trainer(
        model=copy.deepcopy(start),
        args=args,
        train_dataset=packed_alike(examples),
        data_collator=Collate(0),
    )
    attach(trainer, "MaskTheTarget() + Finch()")
    steps = [[tiny.unpacked(batch) for batch in step] for step in batches_of(trainer)]
    trainer.train()
    expected, _, record = reference(copy.deepcopy(start), "MaskTheTarget() + Finch()", steps)
    assert len(record) == 2
    assert furthest(trainer.model, expected) < 1e-12


@pytest.mark.parametrize("recipe", ["MaskTheTarget() + Finch()", "BaseKL(on='memory') + Rehearsal('old', ratio=0.3)"])
@pytest.mark.parametrize("backbone", tiny.BACKBONES)
def test_a_batch_in_one_row_without_padding_retraces_the_loop_on_padded_rows(tmp_path, backbone, recipe):
    old = [Example(row["input_ids"], row["labels"]) for row in tiny.rows(8, seed=5)]
    start = tiny.tiny(backbone, **({"output_router_logits": False} if backbone == "mixtral" else {}))
    trained, batches = {}, {}
    for width in (0, 10_000):
        trainer = transformers.Trainer(
            model=copy.deepcopy(start),
            args=arguments(tmp_path, 4, 2, remove_unused_columns=False),
            train_dataset=[Example(row["input_ids"], row["labels"]) for row in tiny.rows(16)],
            data_collator=Collate(0, width),
        )
        attach(trainer, recipe, memories={"old": old})
        batches[width] = batches_of(trainer)
        trainer.train()
        trained[width] = trainer.model
    shapes = [batch["input_ids"].shape[0] for step in batches[10_000] for batch in step]
    assert set(shapes) == {1}
    expected, _, record = reference(copy.deepcopy(start), recipe, batches[0])
    assert len(record) >= 2
    assert furthest(trained[10_000], expected) < 1e-7
    assert furthest(trained[0], expected) < 1e-7


@pytest.mark.parametrize("backbone", ["llama", "gpt2"])
def test_the_short_loop_is_the_full_one_where_no_method_asks_for_more(backbone):
    recipe, start = chain(Acting(), MaskTheTarget(), BaseKL(on="memory"), Finch()), tiny.tiny(backbone)
    steps = [[tiny.collate(tiny.rows(4, seed=2 * step + part)) for part in range(2)] for step in range(3)]
    for batch in (batch for step in steps for batch in step):
        batch[SOURCE] = torch.tensor([0, 1, 0, 0])[:, None].expand_as(batch["labels"])
    ends = []
    for kind in (Loop, FullLoop):
        model = copy.deepcopy(start)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        loop = kind(model, copy.deepcopy(start), recipe, recipe.init_state(None), optimizer)
        rates, loop.start = [0.05], {}
        records = [loop.step(index, 3, batches, rates) for index, batches in enumerate(steps)]
        ends.append((model, records, loop.state))
    assert furthest(ends[0][0], ends[1][0]) == 0.0
    assert ends[0][1] == ends[1][1]
    assert float(ends[0][2]["0.Acting"]["seen"]) == float(ends[1][2]["0.Acting"]["seen"]) > 0
    assert furthest(ends[0][0], start) > 1e-5


def test_training_moved_the_weights_at_all(tmp_path):
    start = tiny.tiny()
    _, model, _, _ = both(tmp_path, MaskTheTarget(), model=copy.deepcopy(start))
    assert furthest(model, start) > 1e-3


def test_adamw_in_float32_retraces_within_its_first_sign_like_step(tmp_path):
    from holdfast.core.method import chain
    from holdfast.train.attach import attach
    from holdfast.train.full_loop import train_reference
    from tests.train.retrace import batches_of, trainer_for

    start = tiny.tiny(dtype=torch.float32)
    trainer = trainer_for(copy.deepcopy(start), tmp_path, tiny.rows(24), optim="adamw_torch", learning_rate=1e-3)
    recipe = chain(MaskTheTarget(), Finch())
    attach(trainer, recipe)
    steps = batches_of(trainer)
    trainer.train()
    model = copy.deepcopy(start)
    state = recipe.init_state(None)
    train_reference(
        model, start.eval(), steps, recipe, state, torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    )
    assert furthest(trainer.model, model) < 2e-5


def whole_masks(rows):
    """Pads rows, and gives the mask of attention as the model adds it to its scores, `[B, 1, T, T]`."""
    batch = tiny.collate(rows)
    seen = batch["attention_mask"].bool()[:, None, None].expand(-1, 1, batch["labels"].shape[1], -1).tril()
    return {**batch, "attention_mask": torch.zeros(seen.shape, dtype=torch.float64).masked_fill(~seen, -1e9)}


@pytest.mark.parametrize("micro", [1, 4])
def test_a_mask_for_each_pair_of_tokens_is_one_for_each_token(tmp_path, micro):
    recipe, ends = "Rehearsal('old', ratio=0.3) + LoRA(rank=2) + MaskTheTarget() + Finch()", []
    old = [Example(row["input_ids"], row["labels"]) for row in tiny.rows(9, seed=3)]
    for collator in (tiny.collate, whole_masks):
        trainer = trainer_for(tiny.tiny(), tmp_path, tiny.rows(12), micro=micro, num_train_epochs=2)
        trainer.data_collator = collator
        torch.manual_seed(0)
        attach(trainer, recipe, memories={"old": old}).train()
        ends.append(trainer.model)
    assert furthest(*ends) < 1e-12
